"""JSON lines that grow with the steps of a run, which may be killed at any time and go on from an earlier step."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from deliberate.engines.errors import DeliberateError


class DamagedLine(DeliberateError):
    """A whole line that is none of a run's."""


class StepLines:
    """A file of objects with a `step`, in order. What was added is in the file, whatever becomes of the process."""

    def __init__(self, path: Path, *, resumed_step: int) -> None:
        """Lines from after `resumed_step`, which will be written again, are dropped, and a last line that is torn.

        Raises DamagedLine, and leaves the file as it is.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _kept(path, resumed_step) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(kept)

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append them."""
        self._file.write(b"".join(map(_encoded, lines)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def whole_lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The objects up to a last line that is torn, each with its size in bytes. Raises DamagedLine."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield _object(line, f"{path}:{number}"), len(line)


def _kept(path: Path, step: int) -> int:
    """How many bytes at the beginning are whole lines of no later step."""
    size = 0
    for fields, length in whole_lines(path):
        if fields["step"] > step:
            break
        size += length
    return size


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(place, f"is not JSON ({error})") from error
    if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("step"), int):
        raise _damaged(place, "is not an object with a whole number as its 'step'")
    return cast("dict[str, Any]", value)


def _damaged(place: str, why: str) -> DamagedLine:
    return DamagedLine(f"{place} {why}. No run wrote that: take the line out, and the same command goes on.")


def _encoded(line: Mapping[str, Any]) -> bytes:
    # Half of a surrogate pair has no UTF-8; with a backslash it is an escape of JSON.
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
