"""A file of JSON lines that grows while a stage runs, and loses nothing when that is killed.

Lines are written whole, as rows are done and so in any order; the last line may be torn by a kill and is cut off when
the file is opened again. At the end the lines are put in order.
"""

import json
import os
import time
from collections.abc import Callable, Generator, Iterable, KeysView, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from deliberate.training.datasets.sources import BadData
from deliberate.training.json_lines import BadLine, numbered_lines, read_object

_SYNC_SECONDS = 1.0
"""A killed process loses nothing that was written; a machine without power loses this much at most."""


class AppendedLines:
    """Objects with an `id` each, one on a line. `ids` are those that the file holds."""

    def __init__(self, path: Path, known: Callable[[Mapping[str, Any]], None]) -> None:
        """Open the file for more lines, or begin it; `known` is told each object that is there, and may raise BadLine.

        Raises BadData for a file that holds anything else than such lines.
        """
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._end = self._read(known)
        except BadData:
            self._file.close()
            raise
        self._file.truncate(self._end)
        self._synced = time.monotonic()

    @property
    def ids(self) -> KeysView[str]:
        return self._places.keys()

    def append(self, fields: Mapping[str, Any]) -> None:
        """Write one object with a new `id`."""
        line = encoded(fields)
        self._file.write(line)
        self._file.flush()
        self._places[fields["id"]] = self._end, len(line)
        self._end += len(line)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def finish(self, order: Iterable[str]) -> None:
        """Put the lines of these ids in order, and drop the others. The file changes at once or not at all."""
        with whole_file(self._path) as file:
            for name in order:
                if name in self._places:
                    start, length = self._places[name]
                    self._file.seek(start)
                    file.write(self._file.read(length))
        self.close()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, known: Callable[[Mapping[str, Any]], None]) -> int:
        """Where the whole lines end."""
        self._file.seek(0)
        end = 0
        for number, line in numbered_lines(self._file):
            if not line.endswith(b"\n"):
                break
            start = self._file.tell() - len(line)
            try:
                fields = read_object(line)
                if not isinstance(fields.get("id"), str):
                    raise BadLine("has no 'id'")
                known(fields)
            except BadLine as error:
                raise BadData(
                    f"{self._path}:{number} {error}. It is none of this run's lines: choose another output_dir, or "
                    "remove that file."
                ) from error
            self._places[fields["id"]] = start, len(line)
            end = start + len(line)
        return end


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO, None, None]:
    """To be written: it appears, or takes the place of the one that is there, when it is whole."""
    partial = path.with_name(f"partial-{path.name}")
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def encoded(fields: Mapping[str, Any]) -> bytes:
    """An object as a line. Half of a character, which UTF-8 lacks, becomes a question mark."""
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n"
