"""What a check of a document comes to, and why one fails."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

MAX_NODES = 10_000
"""Values of a document that are spelled out to compare it with others; YAML's aliases can stand for billions."""


class Rejected(ValueError):
    """The document is not what was asked for; the message says what AgentJo would not take."""


class Unreadable(ValueError):
    """What was asked for cannot be read from the prompt: nothing can be said of any reply."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A reply beside its template."""

    right: int
    """Keys of the first level that are there, with the right type."""
    of: int
    """Keys of the template, and those of the reply that it does not know."""
    complaint: str | None
    """The first thing that is wrong; None for a reply that AgentJo takes."""
    answer: str | None = None
    """Its content, spelled the same for documents that say the same."""


def shown(value: object) -> str:
    """A value of the reply's, for a person."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def spelled(document: Mapping[str, Any], without: Collection[str]) -> str | None:
    """One spelling for documents that say the same, but for some keys; None for those that have none."""
    said = {key: value for key, value in document.items() if key not in without}
    try:
        return json.dumps(_plain(said, [MAX_NODES]), sort_keys=True, ensure_ascii=False) if said else None
    except (ValueError, RecursionError):
        return None


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MAX_NODES} values")
    if isinstance(value, dict):
        items = cast(dict[Any, Any], value).items()
        return {str(key): _plain(item, left) for key, item in items}
    if isinstance(value, list | tuple):
        return [_plain(item, left) for item in cast(list[Any], value)]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
