"""Adaptive vote: majority voting that stops once the outcome is decided.

Adaptive-Consistency (Aggarwal et al. 2023, arXiv:2305.11860) asks for P(p > 1/2) under the posterior
Beta(a + 1, b + 1) of the leader's share p against the runner-up, with a and b votes: does the leader lead in the long
run? A vote of n samples is not the long run, so the question here is whether the leader will still lead when all n
are drawn: the same posterior, with the votes for other answers as a third kind, predicts the samples to come
(Dirichlet-multinomial). With many to come the two questions agree; with few, this one is decided sooner.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from math import comb
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deliberate.search.events import Chosen, Event, Failed, Sampled
from deliberate.search.ranking import Ballot, ballot, ballots, by_votes, counting
from deliberate.search.sampling import ParallelStrategy, Wave
from deliberate.search.strategy import Context

_MANY = 64
"""Samples to come from which on the prediction is taken in its limit."""


def leads_in_the_end(leader: int, runner_up: int, others: int, remaining: int) -> float:
    """Chance that the leader has more votes than the runner-up after `remaining` more samples; a tie counts half.

    The arguments are votes so far. At `remaining` = 0 it is 0, 1/2 or 1.
    """
    if remaining > _MANY:
        return _beats(leader, runner_up)
    return sum(
        _beta_binomial(pair, remaining, leader + runner_up + 2, others + 1) * _stays_ahead(leader, runner_up, pair)
        for pair in range(remaining + 1)
    )


def _stays_ahead(leader: int, runner_up: int, votes: int) -> float:
    """The same when `votes` more go to one of the two, p ~ Beta(leader + 1, runner_up + 1)."""
    chance = 0.0
    for more in range(votes + 1):
        margin = leader + more - (runner_up + votes - more)
        worth = 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
        chance += worth * _beta_binomial(more, votes, leader + 1, runner_up + 1)
    return chance


def _beta_binomial(k: int, n: int, alpha: int, beta: int) -> float:
    """P(k of n) when the chance of each is drawn from Beta(alpha, beta)."""
    return comb(k + alpha - 1, k) * comb(n - k + beta - 1, n - k) / comb(n + alpha + beta - 1, n)


def _beats(leader: int, runner_up: int) -> float:
    """P(p > 1/2) for p ~ Beta(leader + 1, runner_up + 1): a binomial tail, for integer counts."""
    trials = leader + runner_up + 1
    return sum(comb(trials, i) for i in range(leader + 1)) / 2**trials


class AdaptiveVote(ParallelStrategy, frozen=True):
    """Majority vote over at most n candidates, drawn in waves until it is decided."""

    kind: Literal["adaptive_vote"] = "adaptive_vote"
    alias: ClassVar[str] = "adaptive-vote"
    threshold: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Stop when the leading answer would win the vote of all n samples with this probability."""
    min_wave: Annotated[int, Field(ge=1)] = 1
    """Least samples drawn at once. A wave is as small as could decide, which costs the fewest tokens; a larger one is
    answered sooner, and what still runs once the outcome is decided is cancelled."""

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        cast: list[Ballot] = []
        drawn = ended = 0
        while (size := self._next_wave(_votes(cast, ended), drawn)) > 0:
            wave = Wave(context, self.sampling(context), drawn, size)
            drawn += size
            async with aclosing(wave.events()) as stream:
                async for event in stream:
                    events.append(event)
                    cast += [ballot(event)] if isinstance(event, Sampled) else []
                    ended += isinstance(event, Sampled | Failed)
                    yield event
                    if self._decided(_votes(cast, ended), self.n - ended):
                        break
            for cancelled in wave.cancelled():
                yield cancelled
        choices, fallback = by_votes(ballots(events))
        yield Chosen(tuple(choices[: context.choices]), self._why(_votes(cast, ended), ended), fallback)

    def _decided(self, votes: "Votes", remaining: int) -> bool:
        return self._chance(votes, remaining) > self.threshold

    def _chance(self, votes: "Votes", remaining: int, more: int = 0) -> float:
        """That the leader wins, if `more` of the remaining samples all vote for it."""
        return leads_in_the_end(votes.leader + more, votes.runner_up, votes.others, remaining - more)

    def _next_wave(self, votes: "Votes", drawn: int) -> int:
        """The fewest further votes, all for the leader, that would decide, or `min_wave`; 0 when it is decided."""
        remaining = self.n - drawn
        if remaining == 0 or self._decided(votes, remaining):
            return 0
        sizes = range(1, remaining)
        fewest = 1 + bisect_right(sizes, self.threshold, key=lambda more: self._chance(votes, remaining, more))
        return min(remaining, max(fewest, self.min_wave))

    def _why(self, votes: "Votes", ended: int) -> str:
        if ended == self.n:
            return f"all {self.n} samples ended"
        chance = self._chance(votes, self.n - ended)
        return (
            f"stopped after {ended} of {self.n} samples: {votes.leader} votes against {votes.runner_up} "
            f"win with probability {chance:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Votes:
    """Samples so far, by what they vote for; those without an answer are among the others."""

    leader: int
    runner_up: int
    others: int


def _votes(cast: list[Ballot], ended: int) -> Votes:
    """The standing after `ended` samples, of which those in `cast` did not fail."""
    counts = Counter(b.answer for b in counting(cast) if b.answer is not None).most_common(2)
    leader, runner_up = ([count for _, count in counts] + [0, 0])[:2]
    return Votes(leader, runner_up, ended - leader - runner_up)
