"""JSON lines that grow with the steps of a run, which may be killed at any time and go on from an earlier step."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class StepLines:
    """A file of objects with a `step`, in order. What was added is in the file, whatever becomes of the process."""

    def __init__(self, path: Path, *, resumed_step: int) -> None:
        """Lines from after `resumed_step`, which will be written again, are dropped, and a last line that is torn."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(_kept(path, resumed_step))

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append them."""
        self._file.write(b"".join(map(_encoded, lines)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _kept(path: Path, step: int) -> int:
    """How many bytes at the beginning are whole lines of no later step."""
    size = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
            size += len(line)
    return size


def _encoded(line: Mapping[str, Any]) -> bytes:
    # Half of a surrogate pair has no UTF-8; with a backslash it is an escape of JSON.
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
