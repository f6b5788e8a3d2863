"""The probability of "Yes" as a score: GenRM ("Generative Verifiers", Zhang 2024, arXiv:2408.15240).

Asked whether the answer is right, the score is P(Yes) / (P(Yes) + P(No)) of the judge's next token. A judge that tells
no probabilities is asked for several replies; the score is then the share of "Yes".
"""

import math

from deliberate.verifiers.aggregate import sigmoid
from deliberate.verifiers.judging.asking import NO_REPLY, Asker
from deliberate.verifiers.judging.mode import EachAlone
from deliberate.verifiers.judging.opinion import Opinion, mean_opinion
from deliberate.verifiers.judging.questions import Questions
from deliberate.verifiers.judging.replies import YES_NO, read_choice
from deliberate.verifiers.protocol import Candidate, Problem

_TASK = "Judge whether an answer to a question is right."
_DEMAND = "Is the answer right? Reply with one word: Yes or No."


class YesNo(EachAlone):
    """One token, no reasons: cheap, and a fine scale."""

    name = "yes_no"

    async def opinion(self, asker: Asker, problem: Problem, candidate: Candidate) -> Opinion:
        question = Questions(_TASK, _DEMAND, problem, asker.options).about({"answer": candidate})
        try:
            values = await asker.next_logprobs(question, "Yes", "No")
        except NO_REPLY as error:
            return Opinion(None, f"the judge did not answer: {error}")
        if values is None:
            return mean_opinion(await asker.replies(question), lambda reply: read_choice(reply, YES_NO))
        return _normalised(*values)


def _normalised(yes: float, no: float) -> Opinion:
    shown = f"the next token is Yes with probability {math.exp(yes):.3g}, No with {math.exp(no):.3g}"
    if math.isnan(yes - no):
        return Opinion(None, f"the judge's probabilities cannot be compared: {shown}")
    return Opinion(sigmoid(yes - no), shown)
