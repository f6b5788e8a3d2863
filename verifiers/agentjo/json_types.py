"""The types of strict_json's templates, such as `type: int`: what it converts, and what it refuses."""

import re
from typing import Any, cast

from deliberate.verifiers.agentjo.checked import Rejected, shown
from deliberate.verifiers.agentjo.literals import NotLiteral, literal

MARK = "type:"
"""Begins the type in a key's description."""

_NESTED = (re.compile(r"list\[(.*)\]", re.IGNORECASE), re.compile(r"array\[(.*)\]", re.IGNORECASE))


def type_of(description: str) -> str | None:
    """The type that a description ends in."""
    return description.split(MARK)[-1] if MARK in description else None


def converted(value: Any, key: str, type_name: str) -> Any:
    """The value as strict_json hands it on. Raises Rejected where it would not.

    Where it would ask the model to repair a list, or to judge an `Ensure …`, the one is refused and the other taken.
    """
    type_name = type_name.strip()
    text = str(value)
    if not type_name.lower().startswith(("list", "array")):
        if not text:  # It looks at the first character of every value.
            raise Rejected(f"{key!r} is empty, and should be {type_name}")
        if text[0] + text[-1] != "[]":
            if any(pattern.search(type_name) for pattern in _NESTED):
                raise Rejected(f"{key!r} is no list: {shown(value)}")
            return _single(value, key, type_name)
    value = _list(text, key)
    for pattern in _NESTED:
        if (inner := pattern.search(type_name)) is not None:
            value = [converted(item, f"element of {key}", inner[1]) for item in value]
    return value if _NESTED[1].search(type_name) else _single(value, key, type_name)


def _list(text: str, key: str) -> list[Any]:
    try:
        value = literal(text[text.find("[") : text.rfind("]") + 1])
    except NotLiteral:
        value = None
    if not isinstance(value, list):
        raise Rejected(f"{key!r} is no list: {shown(text)}")
    return cast(list[Any], value)


def _single(value: Any, key: str, type_name: str) -> Any:
    name = type_name.lower()
    if name in ("int", "float", "code", "bool"):
        try:
            return _SCALARS[name](value)
        except (ValueError, TypeError, OverflowError) as error:
            raise Rejected(f"{key!r} is not of type {type_name}: {shown(value)}") from error
    if name.startswith("dict"):
        return _dict(value, key, type_name)
    if name.startswith("enum"):
        return _member(value, key, type_name)
    return str(value) if name == "str" else value


def _code(value: Any) -> str:
    with_escapes = str(value).encode().decode("unicode_escape")
    return re.sub(r"(\s|`)*$", "", re.sub(r"^(\s|`)*(?i:python)?\s*", "", with_escapes))


def _bool(value: Any) -> bool:
    name = str(value).lower()
    if not name.startswith(("true", "false")):
        raise ValueError(name)
    return name.startswith("true")


_SCALARS = {"int": int, "float": float, "code": _code, "bool": _bool}


def _dict(value: Any, key: str, type_name: str) -> dict[Any, Any]:
    text = str(value)
    try:
        found = value if isinstance(value, dict) else literal(text[text.find("{") : text.rfind("}") + 1])
    except NotLiteral:
        found = None
    if not isinstance(found, dict):
        raise Rejected(f"{key!r} is no dict: {shown(value)}")
    document = cast(dict[Any, Any], found)
    wanted = _parameters(key, type_name) if len(type_name) > len("dict") else []
    if (missing := next((item for item in wanted if item not in list(document)), None)) is not None:
        raise Rejected(f"the dict {key!r} lacks the key {shown(missing)}")
    return document


def _member(value: Any, key: str, type_name: str) -> Any:
    values = _parameters(key, type_name)
    if value not in values:
        raise Rejected(f"{key!r} is {shown(value)}, not one of {shown(values)}")
    return value


def _parameters(key: str, type_name: str) -> list[Any]:
    """The list that follows a name of four letters: `Enum['a', 'b']`, `dict['x', 'y']`."""
    try:
        values = literal(type_name[4:])
    except NotLiteral as error:
        raise Rejected(f"the type {type_name!r} of {key!r} takes no value: its list is no Python list") from error
    if not isinstance(values, list):
        raise Rejected(f"the type {type_name!r} of {key!r} takes no value: it has no list")
    return cast(list[Any], values)
