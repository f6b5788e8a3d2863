"""Particle filtering (Puri et al. 2025, arXiv:2502.01618).

After each step, all n particles are drawn anew with P(i) = softmax_i(l / T), where l = ln(p / (1 - p)) is the log-odds
that a process reward model gives for its score p; at T = 1 a chain's weight is its odds p / (1 - p). Chains that ended
keep their last score, take part, and stay as they are. The draw is systematic (Carpenter et al. 1999): a chain gets its
expected number of places rounded up or down, which varies least of all unbiased draws.

Unlike a beam it does not bet on the best score alone, so that a reward model's errors weigh less. All chains that
ended are candidates, each once, those too whose places went to others later: they are paid for.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil, exp, log
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.search.population import Member, PopulationStrategy
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import score_of

_CERTAINTY = 1e-7
"""No score is surer than this: verifiers that say 0 or 1 would have infinite log-odds."""


class ParticleFiltering(PopulationStrategy, frozen=True):
    """Draw steps, judge the chains, and draw by their odds which of them go on, until all have ended."""

    kind: Literal["particle_filtering"] = "particle_filtering"
    alias: ClassVar[str] = "particles"
    size_fields: ClassVar[tuple[str, ...]] = ("particles",)
    particles: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Chains that grow beside each other, copies and those that ended among them."""
    softmax_temperature: Annotated[FiniteFloat, Field(ge=0.01, le=100)] = 1.0
    """Of the softmax over the scores' log-odds: the higher, the more chains of low score are followed."""
    pick: Literal["score", "weighted_vote", "majority"] = "score"
    """The answer: of the chains that ended the one with the best score, the answer with the largest sum of scores, or
    the most frequent one."""

    @property
    def slots(self) -> int:
        return self.particles

    def weigh(self, population: Sequence[Member]) -> list[float]:
        """e^(l / T) of each chain and copy, over that of the best; chains cut by length neither go on nor answer."""
        scores = [
            None if member.node.state == "truncated" else log_odds(score_of(member.node)[0]) for member in population
        ]
        best = max((score for score in scores if score is not None), default=0.0)
        return [
            0.0 if score is None else len(member.copies) * exp((score - best) / self.softmax_temperature)
            for member, score in zip(population, scores, strict=True)
        ]

    def share(self, population: Sequence[Member], width: int, draw: float) -> list[int]:
        return resample(self.weigh(population), width, draw)


def log_odds(score: float) -> float:
    """ln(p / (1 - p)), finite."""
    p = min(max(score, _CERTAINTY), 1 - _CERTAINTY)
    return log(p / (1 - p))


def resample(weights: Sequence[float], count: int, draw: float) -> list[int]:
    """Systematic resampling: how many of `count` equally spaced points, shifted by `draw` in [0, 1), fall on each.

    Each gets its expected number rounded up or down; all 0 where all weights are.
    """
    sums = list(accumulate(weights, initial=0.0))
    total = sums[-1]
    if not total:
        return [0] * len(weights)
    points_below = [count if s == total else ceil(count * s / total - draw) for s in sums]
    return [upper - lower for lower, upper in pairwise(points_below)]
