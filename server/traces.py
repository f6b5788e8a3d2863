"""Traces of the last searches: bounded in time, in number and in memory."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Delta, Sample
from deliberate.search.events import Asked, Completed, Event, Expanded, LookedAhead, Retraced, Sampled, Scored, Streamed
from deliberate.search.trace import write_event
from deliberate.server.replies import DeliberationTrace
from deliberate.server.settings import Settings

NOT_FOUND = "deliberation_not_found"

_EVENT_BYTES = 600
_TOKEN_BYTES = 80
"""An id and a log-probability, each with the place where it stands."""
_ALTERNATIVE_BYTES = 120


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of one search: all but its events as they are sent, and the events."""

    head: DeliberationTrace
    """Without the events."""
    events: tuple[Event, ...]
    seconds: tuple[float, ...]
    """When each was said."""
    caller: int | None
    """Whose it is: the number of the API key."""

    def reply(self) -> DeliberationTrace:
        """As it is sent."""
        entries = [write_event(event, at) for event, at in zip(self.events, self.seconds, strict=True)]
        return self.head.model_copy(update={"events": entries})

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return sum(_EVENT_BYTES + _held(event) for event in self.events)


class Traces:
    """Keeps traces until they are too old, too many or too large together; the oldest go first."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = settings.trace_seconds
        self._most = settings.max_traces
        self._most_bytes = settings.max_trace_bytes
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Trace, float, int]] = OrderedDict()
        """By id, with the time when it goes and its size."""
        self._bytes = 0

    def keep(self, trace: Trace) -> None:
        """Add a trace."""
        size = trace.size
        self._kept[trace.head.id] = (trace, self._clock() + self._seconds, size)
        self._bytes += size
        self._forget()

    def find(self, name: str, caller: int | None) -> Trace:
        """The trace of that id. Raises InvalidRequest where there is none, and where it is somebody else's alike."""
        self._forget()
        trace, _, _ = self._kept.get(name, (None, 0, 0))
        if trace is None or trace.caller != caller:
            raise InvalidRequest(
                f"No deliberation {name!r} is kept here. The ids stand in replies as deliberation.id; traces are kept "
                f"for {self._seconds:g} s after the search, the last {self._most} of them at most.",
                param="id",
                code=NOT_FOUND,
            )
        return trace

    def _forget(self) -> None:
        while self._kept and self._must_go():
            _, (_, _, size) = self._kept.popitem(last=False)
            self._bytes -= size

    def _must_go(self) -> bool:
        _, goes, _ = next(iter(self._kept.values()))
        return self._clock() >= goes or len(self._kept) > self._most or self._bytes > self._most_bytes


def _held(event: Event) -> int:
    match event:
        case Sampled(_, held) | Completed(_, held) | Asked(_, held) | LookedAhead(_, held) | Retraced(_, held):
            return _held_by(held)
        case Expanded(_, _, held) | Streamed(_, held):
            return _held_by(held)
        case Scored(_, verdict):
            attached = sum(len(attachment.data_url) for attachment in verdict.attachments)
            return len(verdict.reason) + _TOKEN_BYTES * len(verdict.steps) + attached
        case _:
            return 0


def _held_by(part: Sample | Delta) -> int:
    alternatives = sum(map(len, part.top_logprobs))
    return len(part.text) + _TOKEN_BYTES * len(part.token_ids) + _ALTERNATIVE_BYTES * alternatives
