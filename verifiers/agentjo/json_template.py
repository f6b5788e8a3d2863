"""strict_json: its template in a prompt, and a reply beside it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from deliberate.verifiers.agentjo.checked import Rejected, Unreadable, shown
from deliberate.verifiers.agentjo.json_types import converted, type_of
from deliberate.verifiers.agentjo.literals import NotLiteral, literal

BEGIN = "Output in the following json template: ```"
END = "```\nUpdate values enclosed in <>"

_QUOTES = "'\"`"


@dataclass(frozen=True, slots=True)
class JsonTemplate:
    """What `strict_json` asks for: keys between delimiters, descriptions between angle brackets."""

    fields: Mapping[str, Any]
    """Descriptions by key, nested in dicts and lists, without delimiters and brackets."""
    delimiter: str
    """Stands on both sides of a key, once more for each level."""

    def keys(self) -> list[str]:
        return list(self.fields)

    def read(self, reply: str) -> "JsonReading":
        """The reply's document, key by key."""
        return _Reader(self.delimiter).read(_braced(reply), self.fields)


@dataclass(frozen=True, slots=True)
class JsonReading:
    """What strict_json makes of a document."""

    values: dict[str, Any]
    """Those that it takes, converted to their types."""
    complaints: dict[str, str]
    """What is wrong, by key; of the first level alone. The empty key is for the whole document."""


def read_template(text: str) -> JsonTemplate:
    """A template as it stands in a prompt. Raises Unreadable."""
    try:
        template = literal(text)
    except NotLiteral as error:
        raise Unreadable(f"the prompt's JSON template cannot be read: {error}") from error
    if not isinstance(template, dict) or not template:
        raise Unreadable("the prompt's JSON template is no dict with keys")
    fields = cast(dict[Any, Any], template)
    delimiter = _delimiter([str(key) for key in fields])
    return JsonTemplate(_unwrapped(fields, delimiter, 1), delimiter)


def _delimiter(keys: list[str]) -> str:
    """`###` unless the caller chose another; what is not a letter, digit or space at the first key's ends."""
    first = keys[0]
    end = re.match(r"[^\w\s]*", first)
    longest = "" if end is None else end[0]
    candidates = ["###", *(longest[:size] for size in range(len(longest), 0, -1))]
    fits = (d for d in candidates if all(k.startswith(d) and k.endswith(d) and len(k) >= 2 * len(d) for k in keys))
    return next(fits, "")


def _unwrapped(template: Any, delimiter: str, level: int) -> Any:
    if isinstance(template, dict):
        size = len(delimiter) * level
        fields = cast(dict[Any, Any], template)
        return {
            str(key)[size : len(str(key)) - size]: _unwrapped(value, delimiter, level + 1)
            for key, value in fields.items()
        }
    if isinstance(template, list):
        return [_unwrapped(item, delimiter, level + 1) for item in cast(list[Any], template)]
    if isinstance(template, str):
        return template.removeprefix("<").removesuffix(">")
    return template


def _braced(reply: str) -> str:
    """From the first opening brace to the last closing one; a missing one is added."""
    if "{" not in reply:
        reply = "{" + reply
    if "}" not in reply:
        reply += "}"
    return reply[reply.find("{") : reply.rfind("}") + 1]


@dataclass(frozen=True, slots=True)
class _Reader:
    delimiter: str
    level: int = 1

    @property
    def mark(self) -> str:
        return self.delimiter * self.level

    def read(self, text: str, fields: Mapping[str, Any]) -> JsonReading:
        reading = JsonReading({}, {})
        if not text:
            return JsonReading({}, dict.fromkeys(fields, "there is no document between braces"))
        for key in fields:
            repaired = self._repaired(text, key)
            if repaired is None:
                reading.complaints[key] = f"the key {shown(self.mark + key + self.mark)} is missing"
            text = repaired or text
        for key, value in self._pairs(text, reading).items():
            self._add(reading, fields, key, value)
        for key in fields:
            if key not in reading.values and key not in reading.complaints:
                reading.complaints[key] = f"the key {shown(key)} is nowhere but within another value"
        return reading

    def _add(self, reading: JsonReading, fields: Mapping[str, Any], key: str, value: str) -> None:
        if key not in fields:
            reading.complaints[key] = f"the key {shown(key)} was not asked for"
            return
        try:
            reading.values[key] = self._value(value, fields[key], key)
        except Rejected as error:
            reading.complaints.setdefault(key, str(error))

    def _value(self, text: str, field: Any, key: str) -> Any:
        type_name = type_of(field) if isinstance(field, str) else None
        if type_name is not None and "bool" in type_name:
            text = text.replace("true", "True").replace("false", "False")
        value = _Reader(self.delimiter, self.level + 1).value(text, field, key)
        return value if type_name is None else converted(value, key, type_name)

    def value(self, text: str, field: Any, key: str) -> Any:
        """A value of this level. Raises Rejected."""
        if isinstance(field, dict):
            reading = self.read(text, cast(dict[str, Any], field))
            if reading.complaints:
                raise Rejected(f"in {key!r}: {next(iter(reading.complaints.values()))}")
            return reading.values
        if isinstance(field, list):
            return self._list(text, cast(list[Any], field), key)
        return _unescaped(_as_literal(text)) if isinstance(field, str) else text

    def _list(self, text: str, fields: list[Any], key: str) -> list[Any]:
        items = _as_literal(text)
        if not isinstance(items, list | tuple):
            raise Rejected(f"{key!r} is no list: {shown(text)}")
        items = cast(list[Any], items)
        if len(items) < len(fields):
            raise Rejected(f"{key!r} has {len(items)} elements, fewer than {len(fields)}")
        below = _Reader(self.delimiter, self.level + 1)
        return [below.value(str(item), field, key) for item, field in zip(items, fields, strict=False)]

    def _repaired(self, text: str, key: str) -> str | None:
        """The text with this key in quotes and delimiters, where strict_json can see what was meant."""
        marked = f"{self.mark}{key}{self.mark}"
        if any(f"{quote}{marked}{quote}:" in text for quote in _QUOTES):
            return text
        for written, quote in _miswritten(key, marked):
            if text.count(written) == 1:
                return text.replace(written, f"{quote}{marked}{quote}:")
        return None

    def _pairs(self, text: str, reading: JsonReading) -> dict[str, str]:
        pattern = rf",*\s*['\"`]{self.mark}([^#]*){self.mark}['\"`]:\s*"
        try:
            parts = [part for part in re.split(pattern, text[1:-1].strip()) if part]
        except re.error:
            raise Unreadable(f"the delimiter {self.delimiter!r} is not for strict_json: it is a pattern") from None
        if len(parts) % 2:
            reading.complaints[""] = "a key has no value, or there is text before the first key"
        parts = [part[1:-1] if part[0] in _QUOTES else part for part in parts]
        return dict(zip(parts[::2], parts[1::2], strict=False))


def _miswritten(key: str, marked: str) -> Iterator[tuple[str, str]]:
    """How a key may be written wrongly, and the quote to put around it, in the order of strict_json."""
    for quote in "'\"":
        yield f"{quote}{key}{quote}:", quote
        yield f"{quote}{key}:", quote
        yield f"{key}{quote}:", quote
    yield f"{marked}:", '"'
    yield f'"{marked}:', '"'
    yield f'{marked}":', '"'
    yield f"'{marked}:", "'"
    yield f"{marked}':", "'"


def _as_literal(text: str) -> Any:
    try:
        return literal(text)
    except NotLiteral:
        return text


_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\'": "'"}


def _unescaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unescaped(item) for key, item in cast(dict[Any, Any], value).items()}
    if isinstance(value, list):
        return [_unescaped(item) for item in cast(list[Any], value)]
    if isinstance(value, str):
        for escape, character in _ESCAPES.items():
            value = value.replace(escape, character)
    return value
