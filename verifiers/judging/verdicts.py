"""Verdicts of Yes or No after reasoning: what modes share that ask for them."""

from typing import ClassVar

from deliberate.verifiers.judging.asking import Asker
from deliberate.verifiers.judging.mode import EachAlone
from deliberate.verifiers.judging.opinion import Opinion, mean_opinion
from deliberate.verifiers.judging.questions import Questions
from deliberate.verifiers.judging.replies import YES_NO, read_choice
from deliberate.verifiers.protocol import Candidate, Problem


class ReasonedVerdicts(EachAlone):
    """The share of verdicts that are Yes."""

    task: ClassVar[str]
    demand: ClassVar[str]

    async def opinion(self, asker: Asker, problem: Problem, candidate: Candidate) -> Opinion:
        question = Questions(self.task, self.demand, problem, asker.options).about({"answer": candidate})
        return mean_opinion(await asker.replies(question), lambda reply: read_choice(reply, YES_NO))
