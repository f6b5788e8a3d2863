"""One line of data before it is a row: its fields, read with messages that say what is wrong with them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from deliberate.training.json_lines import BadLine

_MOST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Record:
    """An object of a data file. A field that is null counts as missing. All methods raise BadLine."""

    fields: Mapping[str, Any]
    place: str
    """File and line, for messages."""
    key: str
    """File and line without the folders before them: names the row where the data does not."""
    path: str = ""
    """Of an object within the line, before the names of its fields: `question.`"""

    def has(self, name: str) -> bool:
        return self.fields.get(name) is not None

    def value(self, name: str) -> Any:
        """Whatever the field holds, but not null."""
        if not self.has(name):
            raise BadLine(f"has no {self.path + name!r}, only {_listed(self.fields)}; add it, or leave the line out")
        return self.fields[name]

    def text(self, name: str) -> str:
        """A text that is not blank."""
        value = self.value(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        if not value.strip():
            raise BadLine(f"has an empty {self.path + name!r}; fill it, or leave the line out")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def whole(self, name: str) -> int:
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "a whole number")
        return value

    def flag(self, name: str) -> bool:
        if not isinstance(self.value(name), bool):
            raise self.wrong(name, "true or false")
        return self.fields[name]

    def items(self, name: str) -> Sequence[Any]:
        """A list that is not empty."""
        value = self.value(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name, "a list that is not empty")
        return cast(list[Any], value)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.items(name)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.wrong(name, "a list of texts, none of them empty")
        return tuple(values)

    def object(self, name: str) -> "Record":
        value = self.value(name)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "an object")
        return self.within(cast(Mapping[str, Any], value), name)

    def objects(self, name: str) -> list["Record"]:
        """A list of objects that is not empty."""
        values = self.items(name)
        if not all(isinstance(value, Mapping) for value in values):
            raise self.wrong(name, "a list of objects")
        return [self.within(value, f"{name}[{number}]") for number, value in enumerate(values)]

    def within(self, fields: Mapping[str, Any], name: str) -> "Record":
        """An object inside of this one."""
        return Record(fields, self.place, self.key, f"{self.path}{name}.")

    def wrong(self, name: str, wanted: str) -> BadLine:
        """What to raise for a field of the wrong form."""
        shown = repr(self.fields.get(name))
        cut = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
        return BadLine(f"has the {self.path + name!r} {cut}; it must be {wanted}")


def share(value: object) -> float | None:
    """A number of [0, 1], with true and false as 1 and 0; None for anything else."""
    if isinstance(value, bool | int | float) and math.isfinite(value) and 0 <= value <= 1:
        return float(value)
    return None


def _listed(fields: Mapping[str, Any]) -> str:
    names = ", ".join(name for name, value in fields.items() if value is not None)
    return names or "fields that are null"
