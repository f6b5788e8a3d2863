"""The types of parse_yaml's templates, such as `how sure, Optional[int]`, as pydantic takes them.

strictjson turns a template into a pydantic model, so that the checks are pydantic's own, in its lax mode.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Optional, Union, cast
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, create_model

from deliberate.verifiers.agentjo.checked import Unreadable, shown

_NAMES: Mapping[str, Any] = {
    "int": int,
    "integer": int,
    "float": float,
    "double": float,
    "str": str,
    "string": str,
    "bool": bool,
    "boolean": bool,
    "list": list[Any],
    "array": list[Any],
    "dict": dict[str, Any],
    "object": dict[str, Any],
    "date": date,
    "datetime": datetime,
    "time": time,
    "uuid": UUID,
    "decimal": Decimal,
    "any": Any,
    "none": type(None),
}
_NOTHING = {"none", "nonetype", "null"}


def model_of(fields: Mapping[str, Any], described: Callable[[Any], Any] | None = None) -> type[BaseModel]:
    """A model with exactly these keys. Raises Unreadable where parse_yaml refuses the template."""
    described = described or _of_first_level
    by_name = {_attribute(key): (key, value) for key, value in fields.items()}
    definitions: dict[str, Any] = {
        f"field_{number}": (described(value), Field(validation_alias=AliasChoices(key, name), serialization_alias=key))
        for number, (name, (key, value)) in enumerate(by_name.items())
    }
    return create_model("Document", __config__=ConfigDict(extra="forbid", use_enum_values=True), **definitions)


def _attribute(key: object) -> str:
    if not isinstance(key, str):
        raise Unreadable(f"the key {shown(key)} of the prompt's YAML template is no string")
    return key.replace('"', "").replace("'", "").replace(" ", "_")


def _of_first_level(value: Any) -> Any:
    if isinstance(value, dict):
        return model_of(cast(dict[str, Any], value), _of_second_level)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in cast(list[Any], value)):
        alternatives = cast(list[dict[str, Any]], value)
        merged = {key: item for document in reversed(alternatives) for key, item in document.items()}
        return list[model_of(merged, _of_second_level)]
    return _of_second_level(value)


def _of_second_level(value: Any) -> Any:
    """Below, parse_yaml looks at keys and no further: of dicts within dicts anything is taken."""
    if isinstance(value, list):
        first = cast(list[Any], value)[:1]
        return list[described_type(first[0])] if first and isinstance(first[0], str) else list[Any]
    return described_type(value) if isinstance(value, str) else Any


def described_type(description: str) -> Any:
    """The type that a description ends in, after its last comma, or that it is; Any where it names none.

    Raises Unreadable for what looks like a type and is none.
    """
    parts = _split(description, ",")
    if len(parts) > 1:
        last = parts[-1].strip()
        if last.startswith("Enum["):
            return _enumeration(last) if last.endswith("]") else Any
        if (found := _recognised(last)) is not None:
            return found
    found = _recognised(description)
    return Any if found is None else found


def _recognised(text: str) -> Any:
    text = text.strip()
    if not _balanced(text):
        raise Unreadable(f"the brackets of {shown(text)} in the prompt's template do not match")
    if text.lower().startswith("type:"):
        text = text[len("type:") :].strip()
    if text.startswith("Enum[") and text.endswith("]"):
        return _enumeration(text)
    if text.lower() in _NAMES:
        return _NAMES[text.lower()]
    return _generic(text) if any(character in text for character in "[]|") else None


def _generic(text: str) -> Any:
    """`list[int]`, `Optional[str]`, `int | None` and the like."""
    text = text.strip().removeprefix("type:").strip()
    if text.startswith("Enum[") and text.endswith("]"):
        return _enumeration(text)
    alternatives = _split(text, "|") if _balanced(text) else [text]
    if len(alternatives) > 1:
        given = [part for part in alternatives if part.strip().lower() not in _NOTHING]
        union = Union[tuple(map(_generic, given))] if given else Any  # noqa: UP007 - built at run time
        return union if len(given) == len(alternatives) else Optional[union]  # noqa: UP045
    if text.startswith(("Optional[", "Union[")) and text.endswith("]"):
        name, inner = text[:-1].split("[", 1)
        if name == "Optional":
            return Optional[_generic(inner)]  # noqa: UP045
        return Union[tuple(map(_generic, _split(inner, ",")))]  # noqa: UP007
    if "[" not in text:
        return _named(text)
    return _container(text)


def _container(text: str) -> Any:
    name, _, rest = text.partition("[")
    inner = [_generic(part) for part in _split(rest[:-1].strip(), ",")]
    if name.strip().lower() in ("list", "array"):
        if len(inner) != 1:
            raise Unreadable(f"{shown(text)} in the prompt's template is a list of not exactly one type")
        return list[inner[0]]
    if name.strip().lower() in ("dict", "object"):
        if len(inner) != 2:
            raise Unreadable(f"{shown(text)} in the prompt's template is a dict of not exactly two types")
        return dict[inner[0], inner[1]]
    _named(name)
    return Any


def _named(name: str) -> Any:
    if name.strip().lower() not in _NAMES:
        raise Unreadable(f"the prompt's template has the unknown type {shown(name)}")
    return _NAMES[name.strip().lower()]


def _enumeration(text: str) -> Any:
    members: dict[str, str | int] = {}
    for option in text.removeprefix("Enum[").removesuffix("]").strip().split(","):
        name, value = _option(option.strip())
        members[name] = value
    try:
        return Enum("Options", members)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"the prompt's template has options that are no enumeration: {shown(text)}") from error


def _option(text: str) -> tuple[str, str | int]:
    quoted = text[:1] in ("'", '"') and text.endswith(text[:1])
    value = text[1:-1] if quoted else text
    name = re.sub(r"\W+", "_", value).upper()
    name = f"_{name}" if re.match(r"\d", name) else name
    if quoted:
        return name, value
    try:
        float(value)
    except ValueError:
        return name, value
    try:
        return name, int(value)
    except ValueError as error:
        raise Unreadable(f"the prompt's template has an option that is neither text nor an int: {value}") from error


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside brackets; an empty last one is left out."""
    parts, depth = [""], 0
    for character in text:
        depth = max(0, depth + (character == "[") - (character == "]"))
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in (parts if parts[-1] else parts[:-1])]


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            return False
    return depth == 0
