"""Mixes datasets by weight, endlessly, so that any position of the mixture can be reached at once.

Which dataset a position takes its row from is told by a rotation of the circle (a Weyl sequence on 32 bits, with
Knuth's multiplier): every stretch is within a few rows of the weights. How often a dataset was taken before a position
is a sum of floors, which Euclid's algorithm gives in logarithmic time. Within a dataset each epoch is a shuffle of its
own.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, count
from typing import Generic, TypeVar

from deliberate.training.datasets.loading import Dataset
from deliberate.training.datasets.rows import Row

Item = TypeVar("Item")
RowType = TypeVar("RowType", bound=Row)

_CIRCLE = 2**32
_STEP = 2_654_435_769
"""The circle divided by the golden ratio; odd, so that the rotation visits every point."""


@dataclass(frozen=True, slots=True)
class Part(Generic[Item]):
    """One of the datasets that are mixed."""

    rows: Sequence[Item]
    """At least one."""
    weight: float = 1.0
    """Share of the mixture, relative to the other parts' weights."""


class Mixture(Generic[Item]):
    """An endless sequence of rows, the same for the same parts and seed."""

    def __init__(self, parts: Sequence[Part[Item]], seed: int) -> None:
        """Raises ValueError for no parts, an empty part, or a weight that is not above 0."""
        if not parts or not all(part.rows and part.weight > 0 for part in parts):
            raise ValueError("a mixture needs parts, each with rows and a weight above 0")
        self._parts = tuple(parts)
        self._seed = seed
        self._start = random.Random(f"mixture:{seed}").randrange(_CIRCLE)
        bounds = list(accumulate(part.weight for part in parts))
        self._bounds = [round(_CIRCLE * bound / bounds[-1]) for bound in bounds]
        self._order = lru_cache(maxsize=2 * len(parts))(self._shuffled)

    def from_position(self, position: int) -> Iterator[Item]:
        """The rows at `position`, `position + 1`, … without end. Of step s it is s times the rows of a step."""
        taken = [self._taken(part, position) for part in range(len(self._parts))]
        for at in count(position):
            part = self._part(at)
            yield self._row(part, taken[part])
            taken[part] += 1

    def shares(self, rows: int) -> list[int]:
        """How many of the first rows are from each part."""
        return [self._taken(part, rows) for part in range(len(self._parts))]

    def _part(self, position: int) -> int:
        return bisect_right(self._bounds, (_STEP * position + self._start) % _CIRCLE)

    def _taken(self, part: int, position: int) -> int:
        """How many positions before this one belong to the part: those whose point lies between its bounds."""
        low = self._bounds[part - 1] if part else 0
        return _points_below(self._bounds[part], position, self._start) - _points_below(low, position, self._start)

    def _row(self, part: int, number: int) -> Item:
        rows = self._parts[part].rows
        epoch, index = divmod(number, len(rows))
        return rows[self._order(part, epoch)[index]]

    def _shuffled(self, part: int, epoch: int) -> list[int]:
        order = list(range(len(self._parts[part].rows)))
        random.Random(f"mixture:{self._seed}:{part}:{epoch}").shuffle(order)
        return order


def mixture_of(datasets: Sequence[Dataset], kind: type[RowType], seed: int) -> Mixture[RowType]:
    """The datasets by their configured weights. Raises BadData where one has rows of another kind."""
    return Mixture([Part(data.of(kind), data.config.weight) for data in datasets], seed)


def _points_below(bound: int, positions: int, start: int) -> int:
    """Of the first positions, how many have a point less than `bound`."""
    rounds = floor_sum(positions, _CIRCLE, _STEP, start + _CIRCLE)
    return rounds - floor_sum(positions, _CIRCLE, _STEP, start + _CIRCLE - bound)


def floor_sum(n: int, m: int, a: int, b: int) -> int:
    """The sum of (a * i + b) // m over i from 0 to n - 1, for whole n, a, b >= 0 and m > 0."""
    total = 0
    while n > 0:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        last = (a % m) * n + b % m
        n, m, a, b = last // m, a % m, m, last % m
    return total
