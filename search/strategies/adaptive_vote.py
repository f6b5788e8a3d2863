"""Adaptive vote: majority voting that stops once the outcome is decided.

Adaptive-Consistency (Aggarwal et al. 2023, arXiv:2305.11860): with a votes for the leading answer and b for
the runner-up, the chance p that a further vote for one of the two goes to the leader has the posterior
Beta(a + 1, b + 1) under a uniform prior. Sampling stops when P(p > 1/2) exceeds the threshold, or when the
samples that remain could not change the winner.
"""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import comb
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deliberate.search.events import Chosen, Event, Failed, Sampled
from deliberate.search.ranking import ballots, by_votes
from deliberate.search.sampling import ParallelStrategy, Wave
from deliberate.search.strategy import Context
from deliberate.verifiers.protocol import VerifierConfig


def leader_probability(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1), exactly: a binomial tail, for integer counts."""
    trials = leader + runner_up + 1
    return sum(comb(trials, i) for i in range(leader + 1)) / 2**trials


class AdaptiveVote(ParallelStrategy, frozen=True):
    """Majority vote over at most n candidates, drawn in the smallest waves that could decide it."""

    kind: Literal["adaptive_vote"] = "adaptive_vote"
    alias: ClassVar[str] = "adaptive-vote"
    threshold: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Stop when the leading answer beats the runner-up with this probability."""

    @classmethod
    def of_width(cls, width: int, verifier: VerifierConfig | None) -> "AdaptiveVote":
        return cls.model_validate({"n": width} | ({} if verifier is None else {"verifier": verifier}))

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        drawn = ended = 0
        while (size := self._next_wave(events, drawn)) > 0:
            wave = Wave(context, self.sampling(context), drawn, size)
            drawn += size
            async with aclosing(wave.events()) as stream:
                async for event in stream:
                    events.append(event)
                    ended += isinstance(event, Sampled | Failed)
                    yield event
                    if self._decided(events, self.n - ended):
                        break
            for cancelled in wave.cancelled():
                yield cancelled
        choices, fallback = by_votes(ballots(events))
        yield Chosen(tuple(choices[: context.choices]), self._why(events, ended), fallback)

    def _decided(self, events: list[Event], remaining: int) -> bool:
        leader, runner_up = _two_leading(events)
        return leader - runner_up > remaining or leader_probability(leader, runner_up) > self.threshold

    def _next_wave(self, events: list[Event], drawn: int) -> int:
        """The fewest further votes, all for the leader, that would decide; 0 when it is decided."""
        remaining = self.n - drawn
        if remaining == 0 or self._decided(events, remaining):
            return 0
        leader, runner_up = _two_leading(events)
        sizes = range(1, remaining)
        enough = (k for k in sizes if leader_probability(leader + k, runner_up) > self.threshold)
        return next(enough, remaining)

    def _why(self, events: list[Event], ended: int) -> str:
        leader, runner_up = _two_leading(events)
        if ended == self.n:
            return f"all {self.n} samples ended"
        return (
            f"stopped after {ended} of {self.n} samples: {leader} votes against {runner_up} lead "
            f"with probability {leader_probability(leader, runner_up):.3f}"
        )


def _two_leading(events: list[Event]) -> tuple[int, int]:
    """Votes for the leading answer and for the runner-up."""
    if not any(isinstance(event, Sampled) for event in events):
        return 0, 0
    counts = Counter(b.answer for b in ballots(events) if b.answer is not None).most_common(2)
    votes = [count for _, count in counts] + [0, 0]
    return votes[0], votes[1]
