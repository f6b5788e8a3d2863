"""Files of JSON lines as a run leaves them, which may still be writing: what cannot be read is left out and told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

_MOST_NOTES = 3


@dataclass(slots=True)
class Lines:
    """The objects in a file, those with a `step`; `notes` say what else is there."""

    path: Path
    notes: list[str] = field(default_factory=list[str])
    left_out: int = 0

    def objects(self) -> Iterator[dict[str, Any]]:
        """In order; none where there is no file."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and (value := self.read(number, line)) is not None:
                    yield value

    def read(self, number: int, line: bytes) -> dict[str, Any] | None:
        """The object on a line."""
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            return self._leave_out(number, f"is not JSON ({error})")
        if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("step"), int):
            return self._leave_out(number, "is not an object with a whole number as its 'step'")
        return cast("dict[str, Any]", value)

    def _leave_out(self, number: int, why: str) -> None:
        self.left_out += 1
        if self.left_out <= _MOST_NOTES:
            self.notes.append(f"{self.path}, line {number} {why}, and is left out.")
        elif self.left_out == _MOST_NOTES + 1:
            self.notes.append(f"{self.path} has more such lines.")
