"""Reward-balanced search, REBASE (Wu et al. 2024, arXiv:2408.00724).

Of the width that is left, each chain gets a share by the softmax of the scores, best first and rounded up:
width_i = ceil(W * e^(r_i / T) / sum_{j >= i} e^(r_j / T)), then W -= width_i. So the shares add up to the width, good
chains branch, and where chains are many the worst get nothing.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, exp
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.search.population import Member, PopulationStrategy
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import score_of

_ROUNDING = 1e-9
"""Shares that exceed a whole number by less do so by rounding alone."""


class Rebase(PopulationStrategy, frozen=True):
    """Draw steps, judge the chains, and give the better ones more of the next steps, until all have ended."""

    kind: Literal["rebase"] = "rebase"
    alias: ClassVar[str] = "rebase"
    size_fields: ClassVar[tuple[str, ...]] = ("width",)
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Steps drawn at each depth; a chain that ended takes one of them away."""
    softmax_temperature: Annotated[FiniteFloat, Field(ge=0.01, le=100)] = 0.2
    """Of the softmax over the scores, which lie in [0, 1]: the lower, the more the best chains get."""

    @property
    def slots(self) -> int:
        return self.width

    def weigh(self, population: Sequence[Member]) -> list[float]:
        """e^(r / T) of each chain that can go on, over that of the best; equal chains count once."""
        scores = [None if member.node.ended else score_of(member.node)[0] for member in population]
        best = max((score for score in scores if score is not None), default=0.0)
        return [0.0 if score is None else exp((score - best) / self.softmax_temperature) for score in scores]

    def share(self, population: Sequence[Member], width: int, draw: float) -> list[int]:
        ended = sum(len(member.copies) for member in population if member.node.ended)
        return allocate(self.weigh(population), width - ended)


def allocate(weights: Sequence[float], width: int) -> list[int]:
    """Shares of the width by weight, the largest first and rounded up; they add up to it unless all weights are 0."""
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    sums = list(accumulate(weights[i] for i in reversed(order)))
    shares = [0] * len(weights)
    for i, rest in zip(order, reversed(sums), strict=True):
        if width <= 0 or not weights[i]:
            break
        shares[i] = ceil(width * weights[i] / rest - _ROUNDING)
        width -= shares[i]
    return shares
