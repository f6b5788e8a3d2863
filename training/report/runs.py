"""Folders of runs: each that has metrics, samples or a record of a result."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import FILE_NAME as ARTIFACT
from deliberate.training.recording.metrics import FILE_NAME as METRICS
from deliberate.training.recording.samples import FILE_NAME as SAMPLES

_MARKS = (ARTIFACT, METRICS, SAMPLES)
_UNFINISHED = ("checkpoint-", "partial-")
"""Folders that belong to a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    name: str
    """Its path within the folder that is reported on."""
    folder: Path
    record: dict[str, Any] | None
    """deliberate.json, which says that it is finished; None before."""


def find_runs(folder: Path) -> Sequence[Run]:
    """All runs in a folder, by name; the folder itself may be one. Raises InvalidRequest where there are none."""
    if not folder.is_dir():
        raise InvalidRequest(f"There is no folder {str(folder)!r}; give the output_dir of a stage or of a recipe.")
    runs = [Run(_name(found, folder), found, _record(found)) for found in _folders(folder)]
    if not runs:
        raise InvalidRequest(f"{folder} holds no run: no {METRICS}, {SAMPLES} or {ARTIFACT} in it or below it.")
    return runs


def _folders(folder: Path) -> Iterator[Path]:
    if any((folder / mark).is_file() for mark in _MARKS):
        yield folder
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        if not below.name.startswith(_UNFINISHED):
            yield from _folders(below)


def _name(found: Path, folder: Path) -> str:
    return found.resolve().name if found == folder else found.relative_to(folder).as_posix()


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        value = json.loads((folder / ARTIFACT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"summary": f"{ARTIFACT} cannot be read: {error}"}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"summary": f"{ARTIFACT} is not an object"}
