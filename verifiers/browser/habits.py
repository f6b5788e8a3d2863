"""How a canvas moves by itself, and whether something it does now is unlike that."""

from deliberate.verifiers.browser.pixels import CHANGED, Known
from deliberate.verifiers.browser.seen import Moment

UNLIKE = 1.6
"""What a touch changes is so many times what is new in any picture without it, and VISIBLY more."""
VISIBLY = 8 * CHANGED
LATEST = 2.0
"""A picture that comes late may show so many times as much that is new."""


class Habits:
    """Learns from pictures, in order."""

    def __init__(self) -> None:
        self._known = Known()
        self._news: list[float] = []
        """Of each picture, how much of it was new."""
        self._gaps_ms: list[float] = []
        self._last_ms = 0.0

    def learn(self, moment: Moment) -> None:
        """What it does by itself."""
        gap_ms, new = self._next(moment)
        self._news.append(new)
        self._gaps_ms.append(gap_ms)

    def meet(self, moment: Moment) -> None:
        """What it did while it was held up, which is no habit."""
        self._next(moment)

    def breaks(self, moment: Moment) -> bool:
        """Whether this is unlike all before; it is known from now on."""
        gap_ms, new = self._next(moment)
        return new > UNLIKE * self._expected(gap_ms) + VISIBLY

    @property
    def longest_gap_ms(self) -> float:
        """Between two pictures that it made by itself."""
        return max(self._gaps_ms[self._settled], default=0.0)

    @property
    def _settled(self) -> slice:
        """The first pictures do not count: to them everything is new."""
        return slice((len(self._news) + 1) // 2, None)

    def _expected(self, gap_ms: float) -> float:
        """Most that is new after so long."""
        late = gap_ms / max(1.0, self.longest_gap_ms)
        return max(self._news[self._settled], default=0.0) * min(max(1.0, late), LATEST)

    def _next(self, moment: Moment) -> tuple[float, float]:
        gap_ms, self._last_ms = moment.at_ms - self._last_ms, moment.at_ms
        return gap_ms, self._known.novelty(moment.picture)
