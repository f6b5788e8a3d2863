"""Calls of tools within a text, as models write them: `<tool_call>{"name": …, "arguments": …}</tool_call>`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from deliberate.verifiers.strict_json import NotJson, loads

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

_ESCAPED = re.compile(r"\\.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call."""

    name: str
    arguments: str
    """A JSON object, or what the model wrote in place of one."""
    id: str | None = None
    """As the engine named it."""


def first_block(text: str) -> tuple[int, int] | None:
    """Where the first complete block of a text begins and ends; None when there is none."""
    start = text.find(OPEN)
    end = text.find(CLOSE, start) if start >= 0 else -1
    while end >= 0:
        if _outside_strings(text[start + len(OPEN) : end]):
            return start, end + len(CLOSE)
        end = text.find(CLOSE, end + 1)
    return None


def read_block(block: str) -> ToolCall | None:
    """The call of a complete block; None when it is no call."""
    try:
        value = loads(block.removeprefix(OPEN).removesuffix(CLOSE))
    except NotJson:
        return None
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    name, arguments, identity = fields.get("name"), fields.get("arguments", {}), fields.get("id")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict | str):
        return None
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name, written, identity if isinstance(identity, str) and identity else None)


def calls_in(text: str) -> Iterator[ToolCall]:
    """All calls of a text, in order."""
    while (block := first_block(text)) is not None:
        start, end = block
        if (call := read_block(text[start:end])) is not None:
            yield call
        text = text[end:]


def canonical_calls(text: str) -> str | None:
    """JSON of the calls' names and arguments, the same for calls that do the same; None without calls."""
    calls = [{"name": call.name, "arguments": _object(call.arguments)} for call in calls_in(text)]
    return json.dumps(calls, sort_keys=True, ensure_ascii=False, separators=(",", ":")) if calls else None


def _object(arguments: str) -> object:
    try:
        return loads(arguments)
    except NotJson:
        return arguments


def _outside_strings(json_text: str) -> bool:
    return _ESCAPED.sub("", json_text).count('"') % 2 == 0
