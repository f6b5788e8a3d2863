"""Verdicts after reasoning, averaged: GenRM-CoT ("Generative Verifiers", Zhang 2024, arXiv:2408.15240).

The paper averages the probability of "Yes" after each chain of thought; here it is the share of chains that end in it,
which any model can be asked for.
"""

from deliberate.verifiers.judging.verdicts import ReasonedVerdicts


class ChainOfThought(ReasonedVerdicts):
    """The share of chains of thought that find the candidate right."""

    name = "chain_of_thought"
    task = "Judge whether an answer to a question is right."
    demand = (
        "Check the answer step by step for mistakes. Then end with one line, and nothing after it: "
        '"Verdict: Yes" if the answer is right, "Verdict: No" if it is not.'
    )
