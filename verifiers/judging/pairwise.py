"""Which of two is better, as a knock-out among all candidates of a problem.

Each pair is asked about in both orders, for judges prefer places ("Judging LLM-as-a-Judge", Zheng 2023,
arXiv:2306.05685): only who is preferred in both wins, anything else is a tie.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from deliberate.verifiers.chains import plain_text
from deliberate.verifiers.judging.asking import Asker
from deliberate.verifiers.judging.knockout import Knockout, Result, knock_out
from deliberate.verifiers.judging.mode import Mode, as_read
from deliberate.verifiers.judging.opinion import Opinion, mean_opinion, verdict
from deliberate.verifiers.judging.questions import Questions
from deliberate.verifiers.judging.replies import read_choice
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict

_TASK = (
    "Compare two answers to a question, A and B. Which of them is better? Their order and their length mean nothing."
)
_DEMAND = (
    "Say in short what speaks for each. Then end with one line, and nothing after it: "
    '"Verdict: A", "Verdict: B", or "Verdict: Tie".'
)
_FIRST = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""How much a verdict prefers the first answer."""


class Pairwise(Mode):
    """Ranks candidates among each other: the scores mean nothing beside those of another batch."""

    name = "pairwise"
    judges = Judges.OUTCOME
    compares = True

    async def judge(self, asker: Asker, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        read = [as_read(candidate) for candidate in candidates]
        entrants = sorted(set(read), key=lambda one: _place(one, asker.options.seed))
        if len(entrants) < 2:
            return [Verdict.undecided("pairwise needs two different candidates of one problem")] * len(read)
        court = _Court(asker, Questions(_TASK, _DEMAND, problem, asker.options), entrants)
        opinions = court.opinions(await knock_out(len(entrants), court.meet))
        of = dict(zip(entrants, opinions, strict=True))
        return [verdict(of[one], one, asker.options) for one in read]


def _place(candidate: Candidate, seed: int) -> bytes:
    """Where a candidate begins: by lot, and the same wherever it stood in the batch."""
    text = plain_text(candidate)
    return blake2b(f"{seed} {candidate.finished} {text}".encode(), digest_size=16).digest()


@dataclass(slots=True)
class _Court:
    """Lets candidates meet, and remembers what it took and why matches had no result."""

    asker: Asker
    questions: Questions
    entrants: Sequence[Candidate]
    failures: dict[int, str] = field(default_factory=dict[int, str])
    """By entrant."""
    tokens: int = 0

    async def meet(self, first: int, second: int) -> Result:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._preference(*pair)) for pair in ((first, second), (second, first))]
        straight, swapped = (task.result() for task in tasks)
        self.tokens += straight.tokens + swapped.tokens
        if straight.value is None or swapped.value is None:
            why = straight.reason if straight.value is None else swapped.reason
            self.failures |= {first: why, second: why}
            return "void"
        if straight.value > 0.5 > swapped.value:
            return "first"
        return "second" if straight.value < 0.5 < swapped.value else "tie"

    async def _preference(self, first: int, second: int) -> Opinion:
        """How much the judge prefers the first of two, shown in this order."""
        question = self.questions.about({"answer A": self.entrants[first], "answer B": self.entrants[second]})
        return mean_opinion(await self.asker.replies(question), lambda reply: read_choice(reply, _FIRST))

    def opinions(self, knockout: Knockout) -> list[Opinion]:
        """What the knock-out says of each entrant."""
        return [
            Opinion(None, self.failures[entrant])
            if score is None
            else Opinion(score, f"{_record(knockout, entrant)}; all matches took {self.tokens} tokens")
            for entrant, score in knockout.scores().items()
        ]


def _record(knockout: Knockout, entrant: int) -> str:
    """Its matches, in words."""
    met = [match for match in knockout.matches if entrant in (match.stays, match.leaves)]
    won = sum(match.result == "won" and match.stays == entrant for match in met)
    lost = sum(match.result == "won" and match.leaves == entrant for match in met)
    tied, void = (sum(match.result == result for match in met) for result in ("tie", "void"))
    parts = {"won": won, "lost": lost, "tied": tied, "without a result": void}
    return ", ".join(f"{count} {name}" for name, count in parts.items() if count) + f" of {len(met)} matches"
