"""What can be said of a page without showing it. Runs in a worker process: hostile markup may take long to read."""

from dataclasses import dataclass

from deliberate.verifiers.browser.features import features
from deliberate.verifiers.browser.markup import markup_error


@dataclass(frozen=True, slots=True)
class Statics:
    """Of one page."""

    markup_error: str | None
    """The first thing that is wrong with its elements."""
    features: tuple[str, ...]
    """What it uses of three.js."""


def statics(page: str) -> Statics:
    """Read a page."""
    return Statics(markup_error(page), features(page))
