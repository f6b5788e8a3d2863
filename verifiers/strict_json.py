"""JSON as RFC 8259 has it, with bounds: what Python's parser lets through beside it is refused."""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 100
MAX_DIGITS = 400
"""Of one number, its exponent counted as the digits it stands for."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class NotJson(ValueError):
    """The text is not one strict JSON document; the message says why, with the line where that is known."""


def loads(text: str, number: Callable[[str], Any] | None = None) -> Json:
    """The document. `number` reads a number's digits; by default integers are int and others float.

    Raises NotJson for syntax errors, NaN and Infinity, a key given twice, and documents over the bounds.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotJson(f"the document has {len(text)} characters, more than {MAX_CHARACTERS}")
    if _depth(text) > MAX_DEPTH:
        raise NotJson(f"the document nests deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(
            text,
            parse_int=_bounded(number or int),
            parse_float=_bounded(number or float),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno} column {error.colno}") from error


def canonical_text(text: str) -> str:
    """One spelling for equal documents: sorted keys, no spaces, exact numbers (2.5 is 5/2). Raises NotJson."""
    return _canonical(loads(text, Fraction))


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        items = sorted(value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return "{" + ",".join(f"{json.dumps(key)}:{_canonical(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_canonical(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    return str(value) if isinstance(value, Fraction) else json.dumps(value)


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings, found without recursion."""
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _bounded(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(digits: str) -> Any:
        mantissa, _, exponent = digits.lower().partition("e")
        if len(mantissa) > MAX_DIGITS or len(exponent) > 5 or abs(int(exponent or 0)) > MAX_DIGITS:
            raise NotJson(f"a number is longer than {MAX_DIGITS} digits")
        value = read(digits)
        if value in (float("inf"), float("-inf")):
            raise NotJson(f"the number {digits} is too large")
        return value

    return checked


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict[str, Any]()
    for key, value in pairs:
        if key in keys:
            raise NotJson(f"the key {key!r} is given twice")
        keys[key] = value
    return keys
