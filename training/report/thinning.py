"""Long curves made short without losing what stands out.

M4 (Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014): the first, lowest, highest
and last point of each stretch draw the same line as all its points, once a stretch is no wider than a pixel.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean

STRETCHES = 300
"""A chart is hardly wider in pixels, and drawn with at most four times as many points."""


def thinned(values: Sequence[float], stretches: int = STRETCHES) -> list[int]:
    """Positions of the points to draw, rising; all of them where there are few."""
    if len(values) <= 4 * stretches:
        return list(range(len(values)))
    return [position for stretch in _stretches(len(values), stretches) for position in _m4(values, stretch)]


def means(values: Sequence[float], stretches: int = STRETCHES) -> list[tuple[int, float]]:
    """The mean of each stretch at its middle: what smoothing starts from, since M4 overstates extremes."""
    return [
        ((stretch.start + stretch.stop - 1) // 2, fmean(values[stretch.start : stretch.stop]))
        for stretch in _stretches(len(values), stretches)
    ]


def _stretches(count: int, stretches: int) -> Iterator[range]:
    bounds = [count * number // stretches for number in range(stretches + 1)]
    return (range(start, stop) for start, stop in pairwise(bounds) if start < stop)


def _m4(values: Sequence[float], stretch: range) -> list[int]:
    lowest, highest = min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)
    return sorted({stretch.start, lowest, highest, stretch.stop - 1})
