"""What a mode is: a way to ask a judge about candidates."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from deliberate.verifiers.judging.asking import Asker
from deliberate.verifiers.judging.opinion import Opinion, verdict
from deliberate.verifiers.judging.options import JudgeOptions
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict


class Mode(ABC):
    """A way to ask; it keeps nothing between two batches."""

    name: ClassVar[str]
    """In requests."""
    judges: ClassVar[Judges]
    compares: ClassVar[bool] = False
    """Its opinion of a candidate depends on the others of the batch."""

    def check(self, options: JudgeOptions) -> None:
        """Raises ValueError for options that this mode cannot work with."""
        if options.criteria:
            raise ValueError(f"criteria are graded in the mode 'rubric', not {self.name!r}; leave them out")

    @abstractmethod
    async def judge(self, asker: Asker, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        """A verdict for each candidate."""


class EachAlone(Mode):
    """Modes that ask about one candidate at a time; equal ones are asked about once."""

    judges = Judges.PARTIAL

    async def judge(self, asker: Asker, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        read = [as_read(candidate) for candidate in candidates]
        async with asyncio.TaskGroup() as group:
            tasks = {one: group.create_task(self.opinion(asker, problem, one)) for one in dict.fromkeys(read)}
        return [verdict(tasks[one].result(), one, asker.options) for one in read]

    @abstractmethod
    async def opinion(self, asker: Asker, problem: Problem, candidate: Candidate) -> Opinion:
        """What the judge thinks of the candidate."""


def as_read(candidate: Candidate) -> Candidate:
    """All of it that a judge reads: tokens mean nothing to it."""
    return Candidate(candidate.text, finished=candidate.finished)
