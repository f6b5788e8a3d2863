"""Whether an answer says the same as one that is known to be right."""

from deliberate.verifiers.judging.options import JudgeOptions
from deliberate.verifiers.judging.verdicts import ReasonedVerdicts


class Reference(ReasonedVerdicts):
    """The share of verdicts that find the candidate in agreement with the reference."""

    name = "reference"
    task = (
        "Compare an answer to a question with the right answer. It need not use the same words, but must come to the "
        "same result and contradict the right answer in nothing that matters."
    )
    demand = (
        "Name what both come to. Then end with one line, and nothing after it: "
        '"Verdict: Yes" if the answer agrees with the right answer, "Verdict: No" if it does not.'
    )

    def check(self, options: JudgeOptions) -> None:
        super().check(options)
        if options.reference is None:
            raise ValueError("the mode 'reference' needs `reference`, the right answer")
