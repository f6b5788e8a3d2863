"""What a search says while it runs. Streaming, usage, metrics and the reply are readings of this one log."""

from dataclasses import dataclass

from deliberate.engines.protocol import Delta, Sample
from deliberate.verifiers.protocol import Verdict


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. `index` numbers a request's candidates from 0, in the order of their seeds."""


@dataclass(frozen=True, slots=True)
class Streamed(Event):
    """New tokens of a candidate that is certain to be part of the answer."""

    index: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class Sampled(Event):
    """A candidate is complete."""

    index: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    """A candidate was stopped before its end, because the search no longer needs it."""

    index: int
    tokens: int
    """How many it had; they count in the usage."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A candidate came to nothing; the search goes on without it."""

    index: int
    tokens: int
    detail: str


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """A verifier's word on a candidate."""

    index: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of the reply."""

    index: int
    """The candidate that speaks for the answer."""
    weight: float
    """What ranked it: votes, summed scores, or a score."""


@dataclass(frozen=True, slots=True)
class Chosen(Event):
    """The end of every search: the answers, best first, all different unless the strategy only samples."""

    choices: tuple[Choice, ...]
    reason: str
    """Why the search ended here, in a sentence."""
    fallback: str | None = None
    """Set when the strategy could not do what it was asked to and chose in another way; says why."""
