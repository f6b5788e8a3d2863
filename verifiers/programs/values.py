"""Values as the host sees them: JSON that stands for plain data, compared as Python compares, never rebuilt.

What a program sends is hostile: nothing of it is hashed, and no object is made of it.
"""

import json
from dataclasses import dataclass
from math import isclose, isfinite, isnan
from operator import itemgetter
from typing import Any, TypeAlias

from deliberate.verifiers.programs.inside.plain import MAX_DEPTH, NotPlain, is_tagged

Value: TypeAlias = Any
"""JSON in the form of `inside/plain.py`."""

_FORMS: dict[str, tuple[str, type]] = {
    "$tuple": ("tuple", list),
    "$set": ("set", list),
    "$frozenset": ("set", list),
    "$dict": ("dict", list),
    "$bytes": ("bytes", str),
    "$int": ("number", str),
    "$float": ("number", str),
    "$complex": ("number", list),
    "$object": ("object", list),
}
"""What a tag stands for, and what its content must be."""
_MOST_LEVELS = 3 * MAX_DEPTH + 10
"""Of JSON: pairs in a list in an object make one level of a value."""


def read_value(line: bytes) -> Value:
    """JSON from a program. Raises NotPlain."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotPlain(f"no JSON: {error}") from error
    if line.count(b"[") + line.count(b"{") > _MOST_LEVELS:
        _check_depth(value)
    return value


def _check_depth(value: Value) -> None:
    """Not by recursion: what is read here is written again, and read by others."""
    level: list[Value] = [value]
    for _ in range(_MOST_LEVELS):
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [part for parts in inner for part in parts]
        if not level:
            return
    raise NotPlain(f"JSON with more than {_MOST_LEVELS} levels")


@dataclass(frozen=True, slots=True)
class Comparison:
    """When two values count as equal."""

    tolerance: float = 0.0
    """Numbers may differ so much: relative to the larger, or absolute."""
    tuples_are_lists: bool = True

    def equal(self, expected: Value, given: Value) -> bool:
        """As `==` says in Python, so 1, 1.0 and True are equal; NaN is equal to itself here. Raises NotPlain."""
        if self.tolerance == 0:
            return self.key(expected) == self.key(given)
        return self._near(expected, given, 0)

    def key(self, value: Value, depth: int = 0) -> str:
        """The same text for equal values (exactly equal ones, whatever the tolerance). Raises NotPlain."""
        kind, content = self._read(value, depth)
        if kind in ("list", "tuple"):
            return f"{kind}[{','.join([self.key(item, depth + 1) for item in content])}]"
        if kind == "set":
            return f"set[{','.join(sorted({self.key(item, depth + 1) for item in content}))}]"
        if kind == "dict":
            pairs = (f"{key}:{self.key(item, depth + 1)}" for key, item in self._sorted(content, depth))
            return f"dict[{','.join(pairs)}]"
        return f"{kind} {content}" if kind == "number" else f"{kind} {json.dumps(content)}"

    def _near(self, expected: Value, given: Value, depth: int) -> bool:
        (kind, left), (other, right) = self._read(expected, depth), self._read(given, depth)
        if kind != other:
            return False
        if kind in ("list", "tuple"):
            return len(left) == len(right) and all(
                self._near(*pair, depth + 1) for pair in zip(left, right, strict=True)
            )
        if kind == "dict":
            pairs = zip(self._sorted(left, depth), self._sorted(right, depth), strict=True)
            return len(left) == len(right) and all(a[0] == b[0] and self._near(a[1], b[1], depth + 1) for a, b in pairs)
        if kind == "number" and left != right:
            return self._close(expected, given)
        return self.key(expected, depth) == self.key(given, depth)

    def _close(self, expected: Value, given: Value) -> bool:
        try:
            return isclose(expected, given, rel_tol=self.tolerance, abs_tol=self.tolerance)
        except (TypeError, OverflowError):  # Complex numbers, and those that no float can hold, are compared exactly.
            return False

    def _sorted(self, pairs: list[tuple[Value, Value]], depth: int) -> list[tuple[str, Value]]:
        return sorted(((self.key(key, depth + 1), item) for key, item in pairs), key=itemgetter(0))

    def _read(self, value: Value, depth: int) -> tuple[str, Any]:
        """What kind of value it is, and what of it decides."""
        if depth > MAX_DEPTH:
            raise NotPlain(f"a value with more than {MAX_DEPTH} levels")
        if value is None or isinstance(value, str):
            return "none" if value is None else "text", value
        if isinstance(value, bool | int | float):
            return "number", _number(value)
        if isinstance(value, list):
            return "list", value
        if not is_tagged(value):
            return "dict", list(value.items())
        return self._read_tagged(value)

    def _read_tagged(self, value: dict[str, Any]) -> tuple[str, Any]:
        ((tag, content),) = value.items()
        kind, form = _FORMS.get(tag, ("", type(None)))
        if not kind or not isinstance(content, form):
            raise NotPlain(f"{{{tag!r}: …}} stands for no value; known: {', '.join(_FORMS)}")
        if kind == "dict" and not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
            raise NotPlain("the content of {'$dict': …} is pairs of key and value")
        if kind == "tuple" and self.tuples_are_lists:
            return "list", content
        if kind == "object":
            return kind, content[:1]
        return kind, _tagged_number(tag, content) if kind == "number" else content


def _number(value: float) -> str:
    """The same text for equal numbers, whether int, float or bool."""
    if isinstance(value, int):
        return hex(value)
    if not isfinite(value):
        return "nan" if isnan(value) else str(value)
    return hex(int(value)) if value.is_integer() else float.hex(value)


def _tagged_number(tag: str, content: Any) -> str:
    try:
        if tag == "$int":
            return _number(int(content, 16))
        if tag == "$float":
            return _number(float(content))
        real, imaginary = map(_part, content)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise NotPlain(f"no number: {error}") from error
    return real if imaginary == "0x0" else f"{real}+{imaginary}j"


def _part(part: Any) -> str:
    """Of a complex number."""
    return _number(float(part["$float"] if isinstance(part, dict) else part))
