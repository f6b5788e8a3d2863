"""A search's events as JSON and back, without loss, so that a search can be kept, sent and read again.

    {"at": 0.013, "kind": "expanded", "index": 3, "parent": -1, "step": {"text": "4 + 5 = 9", …}}

`at` is when it was said, in seconds since the start. Fields that have their default value are left out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.search import events
from deliberate.search.events import Event, Scored
from deliberate.search.registry import explain


def _kind(event: type[Event]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event.__name__).lower()


KINDS: Mapping[str, type[Event]] = {
    _kind(value): value
    for value in vars(events).values()
    if isinstance(value, type) and issubclass(value, Event) and value is not Event
}
"""All events, by their names in JSON."""

_CONFIG = ConfigDict(extra="forbid", ser_json_inf_nan="strings", use_attribute_docstrings=True)
# A config reaches plain dataclasses only from the type that they stand in, hence the union.
_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    kind: TypeAdapter(cast(Any, event | None), config=_CONFIG) for kind, event in KINDS.items()
}


def write_event(event: Event, at: float) -> dict[str, Any]:
    """An event that was said `at` seconds after the start."""
    kind = _kind(type(event))
    fields = json.loads(_ADAPTERS[kind].dump_json(event, exclude_defaults=True))
    return {"at": round(at, 6), "kind": kind, **fields}


def read_event(entry: Mapping[str, Any]) -> tuple[Event, float]:
    """The event, and when it was said. Raises InvalidRequest for what is none, UnknownName for an unknown kind."""
    fields = dict(entry)
    at, kind = fields.pop("at", None), fields.pop("kind", None)
    if not isinstance(at, int | float):
        raise InvalidRequest(f"An event says 'at' how many seconds it happened, and not {at!r}.", param="at")
    if kind not in _ADAPTERS:
        raise UnknownName("event", str(kind), KINDS, param="kind")
    try:
        return _ADAPTERS[kind].validate_python(fields), float(at)
    except ValidationError as error:
        raise InvalidRequest(f"Event {kind!r}: {explain(error)}", param=kind) from error


def read_events(entries: Iterable[Mapping[str, Any]]) -> list[Event]:
    """All events of a trace, in order. Raises InvalidRequest, UnknownName."""
    return [read_event(entry)[0] for entry in entries]


def schemas(prefix: str, ref_template: str) -> dict[str, dict[str, Any]]:
    """JSON schemas of all events and of what they hold, their names with this prefix."""
    found: dict[str, dict[str, Any]] = {}
    for kind, adapter in _ADAPTERS.items():
        schema = adapter.json_schema(ref_template=ref_template.replace("{model}", prefix + "{model}"))
        found |= {prefix + name: definition for name, definition in schema["$defs"].items()}
        event = found[prefix + KINDS[kind].__name__]
        own = {"at": {"type": "number"}, "kind": {"const": kind, "type": "string"}}
        event["properties"] = own | event["properties"]
        event["required"] = [*own, *event.get("required", [])]
    return found


def without_evidence(event: Event) -> Event:
    """The event without what verifiers keep for themselves, which is large and nobody else's."""
    if not isinstance(event, Scored) or not event.verdict.evidence:
        return event
    return replace(event, verdict=replace(event.verdict, evidence=()))
