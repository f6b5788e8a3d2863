"""Where records come from: files of JSON lines, folders of them, and whatever the library `datasets` reads.

Files may be packed with gzip. A folder holds JSON lines, or one JSON document in each file, as MATH has it.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from deliberate.engines.errors import InvalidRequest
from deliberate.training.datasets.records import Record
from deliberate.training.json_lines import BadLine, numbered_lines, read_object

HUB = "hf:"
"""Before the name of a dataset on the Hugging Face Hub."""

SAVED = ("dataset_info.json", "dataset_dict.json")
"""Files that mark a folder as one of `save_to_disk`."""

_GZIP = b"\x1f\x8b"
_LFS = b"version https://git-lfs"
_JSON = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz")
_ARROW = (".parquet", ".arrow")


class BadData(InvalidRequest):
    """A dataset that cannot be used as it is; the message names file and line, and says what to do."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A line that was not looked into yet."""

    place: str
    key: str
    content: bytes | Mapping[str, Any]

    def record(self) -> Record:
        """Raises BadLine."""
        fields = read_object(self.content) if isinstance(self.content, bytes) else self.content
        return Record(fields, self.place, self.key)


def raw_records(source: str, *, name: str | None, split: str | None, revision: str | None) -> Iterator[Raw]:
    """All lines of a file, a folder, or a dataset of the Hub. Raises BadData for what cannot be read at all."""
    path = Path(source)
    if source.startswith(HUB) or _is_arrow(path):
        from deliberate.training.datasets.hugging_face import table_rows

        rows = table_rows(source, name=name, split=split, revision=revision)
        key = path.name if split is None else f"{path.name}/{split}"
        return (Raw(f"{source} row {number}", f"{key}:{number}", row) for number, row in enumerate(rows, 1))
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise BadData(f"There is no file or folder {source!r}; datasets of the Hub are written {HUB}owner/name.")
    return _file(path, path.name)


def _is_arrow(path: Path) -> bool:
    """Whether the library `datasets` reads it: tables, and folders that it has saved."""
    if path.is_dir():
        return any((path / name).exists() for name in SAVED) or any(file.suffix in _ARROW for file in path.rglob("*"))
    return path.suffix in _ARROW


def _folder(folder: Path) -> Iterator[Raw]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(_JSON))
    if not files:
        raise BadData(f"The folder {folder} holds no data; files end in {', '.join(_JSON + _ARROW)}.")
    for path in files:
        yield from _file(path, path.relative_to(folder).as_posix())


def _file(path: Path, key: str) -> Iterator[Raw]:
    with path.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise BadData(f"{path} is only a pointer of Git LFS; fetch the file itself with git lfs pull.")
    try:
        with gzip.open(path) if start.startswith(_GZIP) else path.open("rb") as stream:
            if path.name.endswith((".json", ".json.gz")) and not _begins_with_an_object(stream):
                yield from _document(stream.read(), path, key)
            else:
                yield from _lines(stream, path, key)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadData(f"{path} is no whole gzip file ({error}); fetch it again.") from error


def _begins_with_an_object(stream: BufferedIOBase) -> bool:
    """Whether the first line is one, so that all lines should be. The stream stands at its start again."""
    _, line = next(numbered_lines(stream), (1, b"{}"))
    stream.seek(0)
    try:
        read_object(line)
    except BadLine:
        return False
    return True


def _lines(stream: BufferedIOBase, path: Path, key: str) -> Iterator[Raw]:
    for number, line in numbered_lines(stream):
        yield Raw(f"{path}:{number}", f"{key}:{number}", line)


def _document(content: bytes, path: Path, key: str) -> Iterator[Raw]:
    """One object over several lines, or a list of objects."""
    if not content.lstrip().startswith(b"["):
        yield Raw(f"{path}:1", key, content)
        return
    try:
        items = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is not JSON ({error}); write one object on each line, or a list of objects.") from error
    for number, item in enumerate(items, 1):
        fields: Any = item if isinstance(item, dict) else json.dumps(item).encode()
        yield Raw(f"{path} item {number}", f"{key}:{number}", fields)
