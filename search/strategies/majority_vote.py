"""Majority vote: self-consistency (Wang et al. 2022, arXiv:2203.11171)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar, Literal

from deliberate.search.events import Chosen, Event
from deliberate.search.ranking import ballots, by_votes
from deliberate.search.sampling import ParallelStrategy, Wave
from deliberate.search.strategy import Context


class MajorityVote(ParallelStrategy, frozen=True):
    """Sample n candidates; the answer that most of them give wins: argmax_a count(a_i = a)."""

    kind: Literal["majority_vote"] = "majority_vote"
    alias: ClassVar[str] = "vote"

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        async with aclosing(Wave(context, self.sampling(context), 0, self.n).events()) as wave:
            async for event in wave:
                events.append(event)
                yield event
        choices, fallback = by_votes(ballots(events))
        yield Chosen(tuple(choices[: context.choices]), f"all {self.n} samples ended", fallback)
