"""Plain data as JSON: how values travel between processes that do not trust each other.

What JSON has not is an object with one key: `{"$tuple": […]}`, `{"$set": […]}`, `{"$frozenset": […]}`,
`{"$bytes": "base64"}`,
`{"$complex": [re, im]}`, `{"$int": "hexadecimal"}` (longer than JSON's readers take), `{"$float": "nan"}` (also `inf`,
`-inf`) and `{"$dict": [[key, value], …]}` for keys that are no texts. Anything else is `{"$object": […]}`: opaque.
Runs inside boxes too, so it imports nothing but the standard library.
"""

import base64
from collections.abc import Callable
from math import isfinite
from typing import Any

MAX_DEPTH = 100
MAX_NODES = 200_000
LONG_INT_BITS = 4_000
"""From here on an int travels in hexadecimal: decimal digits take quadratic time, and readers refuse many."""


class NotPlain(Exception):
    """A value that cannot travel; the message says why."""


class Encoder:
    """Turns one value into what JSON can say."""

    def __init__(self, opaque: Callable[[object], list[Any]]) -> None:
        """`opaque` says what stands for an object that is no plain data."""
        self._opaque = opaque
        self._left = MAX_NODES

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Raises NotPlain for what nests too deep (cycles do) or is too big."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise NotPlain(f"a value with more than {MAX_DEPTH} levels or {MAX_NODES} parts")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if value.bit_length() <= LONG_INT_BITS else {"$int": hex(value)}
        if isinstance(value, float):
            return float(value) if isfinite(value) else {"$float": float.__repr__(value)}
        if isinstance(value, str):
            return str(value)
        if isinstance(value, (bytes, bytearray)):
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, complex):
            return {"$complex": [self.encode(value.real, depth + 1), self.encode(value.imag, depth + 1)]}
        return self._container(value, depth + 1)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._mapping(value, depth)
        for kind, tag in ((list, ""), (tuple, "$tuple"), (set, "$set"), (frozenset, "$frozenset")):
            if isinstance(value, kind):
                items = [self.encode(item, depth) for item in value]
                return {tag: items} if tag else items
        if callable(getattr(value, "tolist", None)) and not isinstance(value, type):  # Arrays and their numbers.
            return self.encode(value.tolist(), depth)
        return {"$object": self._opaque(value)}

    def _mapping(self, value: dict[Any, Any], depth: int) -> Any:
        if all(isinstance(key, str) for key in value) and not is_tagged(value):
            return {str(key): self.encode(item, depth) for key, item in value.items()}
        return {"$dict": [[self.encode(key, depth), self.encode(item, depth)] for key, item in value.items()]}


def is_tagged(value: dict[str, Any]) -> bool:
    """Whether an object of JSON stands for something else."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def decode(data: Any, opaque: Callable[[list[Any]], object], depth: int = 0) -> Any:
    """The value that such JSON stands for. Raises NotPlain for what stands for none."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"a value with more than {MAX_DEPTH} levels")

    def inner(item: Any) -> Any:
        return decode(item, opaque, depth + 1)

    if isinstance(data, list):
        return [inner(item) for item in data]
    if not isinstance(data, dict):
        return data
    if not is_tagged(data):
        return {key: inner(item) for key, item in data.items()}
    ((tag, content),) = data.items()
    readers: dict[str, Callable[[], Any]] = {
        "$tuple": lambda: tuple(map(inner, content)),
        "$set": lambda: set(map(inner, content)),
        "$frozenset": lambda: frozenset(map(inner, content)),
        "$bytes": lambda: base64.b64decode(content, validate=True),
        "$complex": lambda: complex(*map(inner, content)),
        "$int": lambda: int(content, 16),
        "$float": lambda: float(content),
        "$dict": lambda: {inner(key): inner(item) for key, item in content},
        "$object": lambda: opaque(content),
    }
    if tag not in readers:
        raise NotPlain(f"{tag!r} stands for nothing; known: {', '.join(readers)}")
    try:
        return readers[tag]()
    except (TypeError, ValueError, AttributeError) as error:
        raise NotPlain(f"no {tag[1:]}: {error}") from error
