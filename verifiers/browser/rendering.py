"""What was seen of a page, as facts; `scores.py` makes scores of them."""

from dataclasses import dataclass

from deliberate.verifiers.browser.seen import Box, Moment


@dataclass(frozen=True, slots=True)
class Resized:
    """A canvas in the first window and in another."""

    before: Box
    after: Box
    width: int
    height: int
    """Of the other window."""
    errors: int
    """Uncaught ones that this made."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """One visit to a page."""

    errors: tuple[str, ...] = ()
    """Uncaught ones, and what the console calls errors."""
    refused: tuple[str, ...] = ()
    """Addresses that the page wanted from a network and did not get."""
    fault: str | None = None
    """Why the visit ended early, by the page's own fault."""
    draws: int = 0
    """WebGL calls that drew something."""
    moments: tuple[Moment, ...] = ()
    """Pictures of the canvas while nobody touched it."""
    visible: bool = False
    """The window shows something where the canvas is."""
    frames_per_s: float = 0.0
    calibration_per_s: float | None = None
    """Frames of the calibration page just before; None where it was not asked for."""
    inputs: tuple[str, ...] = ()
    """What the canvas answered to: drag, wheel, keys."""
    resized: Resized | None = None
    screenshot: bytes | None = None
    """JPEG of the window."""
