"""Facts about a page as scores in [0, 1], one for each part that a request may weigh."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from deliberate.verifiers.browser.features import ENOUGH
from deliberate.verifiers.browser.pixels import motion
from deliberate.verifiers.browser.rendering import Rendering, Resized
from deliberate.verifiers.browser.statics import Statics

MOVING = 0.5
"""From this share of the steps between pictures on, a page moves all the time."""
SIMILAR = 0.05
"""Two proportions are equal that differ by less than this share."""
REST = 4
"""Pixels of a window that a page which fills it may leave, or that may lie outside."""

_SYNTAX = re.compile(r"^Uncaught (\(in promise\) )?SyntaxError: (?!.*(JSON|does not provide an export))")


@dataclass(frozen=True, slots=True)
class Part:
    """One score, and what it stands on."""

    score: float
    found: str = ""


def syntax(page: Statics, seen: Rendering) -> Part:
    """The markup is complete and every script can be read."""
    unread = next(filter(_SYNTAX.match, seen.errors), None)
    wrong = page.markup_error or unread
    return Part(0.0, wrong) if wrong else Part(1.0)


def errors(page: Statics, seen: Rendering) -> Part:
    """Nothing is thrown that nobody catches, and the console tells of no error."""
    if not seen.errors:
        return Part(1.0)
    first, *others = seen.errors
    return Part(0.0, f"{first!r:.160}" + (f" and {len(others)} more" if others else ""))


def drawing(page: Statics, seen: Rendering) -> Part:
    """WebGL draws on a canvas in the window."""
    return Part(1.0, f"{seen.draws} draws") if seen.draws and seen.moments else Part(0.0, "no WebGL to be seen")


def picture(page: Statics, seen: Rendering) -> Part:
    """The canvas shows something, by itself and in the window."""
    if not seen.moments:
        return Part(0.0, "no WebGL to be seen")
    if seen.moments[-1].picture.blank:
        return Part(0.0, "the canvas is blank")
    return Part(1.0) if seen.visible else Part(0.0, "the canvas is covered")


def animation(page: Statics, seen: Rendering) -> Part:
    """What WebGL draws changes all the time; what else moves in the window does not count."""
    moving = motion([moment.picture for moment in seen.moments])
    return Part(min(1.0, moving / MOVING), f"{moving:.0%} of the pictures differ from the one before")


def performance(page: Statics, seen: Rendering) -> Part:
    """Frames per second, as a share of what a plain scene reached on the same machine just before."""
    usual = seen.calibration_per_s or 0.0
    share = min(1.0, seen.frames_per_s / usual) if usual > 0 else 0.0
    return Part(share, f"{seen.frames_per_s:.0f} frames/s, calibration {usual:.0f}")


def responsiveness(page: Statics, seen: Rendering) -> Part:
    """In a window of another shape the canvas fits it (half), undistorted and as large as it can be (whole)."""
    if seen.resized is None or seen.resized.before.visible(10_000, 10_000) == 0:
        return Part(0.0, "no canvas to resize")
    changed = seen.resized
    if changed.errors:
        return Part(0.0, f"{changed.errors} errors when the window changes")
    if not _fits(changed):
        return Part(0.0, "the canvas does not fit a smaller window")
    if not _undistorted(changed):
        return Part(0.5, "the canvas is stretched in another window")
    return Part(1.0) if changed.before != changed.after else Part(0.5, "the canvas has a fixed size")


def interaction(page: Statics, seen: Rendering) -> Part:
    """Dragging, the wheel or keys change the picture beyond how it moves by itself."""
    return Part(1.0, f"answers to {', '.join(seen.inputs)}") if seen.inputs else Part(0.0, "answers to no input")


def creativity(page: Statics, seen: Rendering) -> Part:
    """Kinds of geometries, materials, lights and techniques in the source."""
    return Part(min(1.0, len(page.features) / ENOUGH), f"{len(page.features)} features")


PARTS: Mapping[str, Callable[[Statics, Rendering], Part]] = MappingProxyType(
    {
        "syntax": syntax,
        "errors": errors,
        "drawing": drawing,
        "picture": picture,
        "animation": animation,
        "performance": performance,
        "responsiveness": responsiveness,
        "interaction": interaction,
        "creativity": creativity,
    }
)
"""All parts by name."""


def _fits(changed: Resized) -> bool:
    after = changed.after
    across = after.x >= -REST and after.x + after.width <= changed.width + REST
    return after.width > 0 and across and after.y + after.height <= changed.height + REST


def _undistorted(changed: Resized) -> bool:
    """Still as many columns for a row as the canvas is wide for its height."""
    after = changed.after
    if not (after.columns and after.rows and after.height):
        return False
    return abs(after.columns / after.rows * after.height / after.width - 1) < SIMILAR
