"""What the probe in a page says, read: the canvases that WebGL drew on."""

from dataclasses import dataclass

from deliberate.verifiers.browser.pixels import Picture

LEAST_SHARE = 0.02
"""Of the window: a smaller canvas is not what a page shows."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a canvas is in the window, in CSS pixels, and how many pixels it draws; all 0 for one nobody sees."""

    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0
    columns: int = 0
    rows: int = 0

    def visible(self, width: int, height: int) -> float:
        """Share of a window of this size that it takes, in [0, 1]."""
        across = min(self.x + self.width, width) - max(self.x, 0)
        down = min(self.y + self.height, height) - max(self.y, 0)
        return max(0.0, across) * max(0.0, down) / (width * height)


@dataclass(frozen=True, slots=True)
class Moment:
    """A picture of a canvas, and when it was drawn."""

    at_ms: float
    picture: Picture


@dataclass(frozen=True, slots=True)
class Canvas:
    """One canvas so far."""

    draws: int
    """Calls that drew at least a vertex."""
    frames: int
    """Frames that the browser showed with something newly drawn."""
    box: Box
    moments: tuple[Moment, ...]
    """What was drawn since the last look."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a page."""

    errors: int
    """Uncaught ones so far."""
    canvases: tuple[Canvas, ...]

    @property
    def draws(self) -> int:
        """On all canvases, also those that nobody sees."""
        return sum(canvas.draws for canvas in self.canvases)

    def largest(self, width: int, height: int) -> int | None:
        """Number of the canvas that takes most of the window, where one takes enough to be seen."""
        shares = [canvas.box.visible(width, height) for canvas in self.canvases]
        share = max(shares, default=0.0)
        return shares.index(share) if share >= LEAST_SHARE else None


def read_seen(text: str) -> Seen:
    """From the probe's words. Only the host's code writes them, so what is wrong is a bug and raises ValueError."""
    errors, *lines = text.split("\n")
    return Seen(int(errors), tuple(map(_canvas, lines)))


def _canvas(line: str) -> Canvas:
    draws, frames, x, y, width, height, columns, rows, *samples = line.split(" ")
    box = Box(float(x), float(y), float(width), float(height), int(columns), int(rows))
    return Canvas(int(draws), int(frames), box, tuple(m for sample in samples if (m := _moment(sample)) is not None))


def _moment(sample: str) -> Moment | None:
    at, _, digits = sample.partition(":")
    picture = Picture.read(digits)
    return None if picture is None else Moment(float(at), picture)
