"""The folder of a stage that makes data: one process at a time, one configuration, from its beginning to its end."""

import hashlib
import json
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deliberate.training.artifact import FILE_NAME, Artifact
from deliberate.training.datasets.appending import whole_file
from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.recording.metrics import read_lines
from deliberate.training.run_folder import OtherRun, locked
from deliberate.training.stages._protocol import StageConfig

DATA = "data.jsonl"
"""The result of every such stage."""

_UNFINISHED = "unfinished.json"
"""Says whose a folder is that has no artifact yet."""


@contextmanager
def claimed(config: StageConfig, stage: str, parents: Mapping[str, str]) -> Generator[None, None, None]:
    """Hold the folder, whose run goes on until the artifact is there.

    Raises OtherRun where another process holds it, or where it is the folder of another run.
    """
    folder = config.output_dir
    with locked(folder):
        _begin(folder, {"stage": stage, "config": config.portable(), "parents": dict(parents)})
        yield
        if (folder / FILE_NAME).exists():
            (folder / _UNFINISHED).unlink(missing_ok=True)


class Clock:
    """How long a run has taken, over all its sessions: those before as its metrics tell."""

    def __init__(self, folder: Path) -> None:
        lines = read_lines(folder)
        self._began = time.perf_counter() - (lines[-1]["seconds"] if lines else 0.0)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def data_parents(datasets: Iterable[DatasetConfig]) -> dict[str, str]:
    """Local data as artifacts name what they come from: by the hash that a stage has told, else that of the file."""
    found: dict[str, str] = {}
    for name, known in filter(None, map(_data_parent, datasets)):
        found[name] = f"{found[name]},{known}" if name in found else known
    return found


def _data_parent(dataset: DatasetConfig) -> tuple[str, str] | None:
    path = Path(dataset.source)
    if path.name == DATA and (path.parent / FILE_NAME).is_file():
        artifact = Artifact.load(path.parent)
        return artifact.name, artifact.data_hash
    return (path.name, data_hash(path)) if path.is_file() else None


def data_hash(path: Path) -> str:
    """blake2b of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _begin(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Mark the folder as this run's, or see that it is."""
    marker = folder / _UNFINISHED
    if not marker.exists():
        if (folder / DATA).exists():
            raise OtherRun(f"{folder} holds a {DATA} of no run that is known; remove it or choose another output_dir.")
        with whole_file(marker) as file:
            file.write(json.dumps(wanted, indent=2).encode() + b"\n")
        return
    there = json.loads(marker.read_bytes())
    different = [name for name, value in _flat(wanted).items() if _flat(there).get(name) != value]
    if different:
        raise OtherRun(
            f"{folder} holds an unfinished run with another {' and '.join(different)}; go on with that "
            "configuration, remove the folder, or choose another output_dir."
        )


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    """The stage, the parents, and each field of the configuration."""
    return {"stage": run["stage"], "parents": run["parents"], **run["config"]}
