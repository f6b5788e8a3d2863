"""The folder of a run: whether it had finished, whose run it is, and the record that it leaves at its end."""

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deliberate.engines.errors import DeliberateError
from deliberate.training.artifact import FILE_NAME, Artifact
from deliberate.training.stages._protocol import StageConfig

_LIBRARIES = ("torch", "transformers", "tokenizers", "peft")


class OtherRun(DeliberateError):
    """A folder holds the result of some other run, or another command is at work in it."""


@contextmanager
def locked(folder: Path) -> Generator[None, None, None]:
    """Hold a folder, which is made, and goes again if nothing is written into it. Whatever ends the process lets go.

    Raises OtherRun where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        try:
            yield
        finally:
            with suppress(OSError):  # It is not empty.
                folder.rmdir()
    finally:
        os.close(descriptor)


def identity(config: StageConfig, parents: Mapping[str, str] | None = None) -> str:
    """Identifies a run: two with the same identity have the same result. `parents`: models it began from, to hash."""
    decisive = json.dumps([config.portable(), dict(parents or {})], sort_keys=True)
    return hashlib.blake2b(decisive.encode(), digest_size=16).hexdigest()


def finished(config: StageConfig, stage: str, parents: Mapping[str, str] | None = None) -> Artifact | None:
    """The artifact in the folder, where this very run had finished; None where it has not.

    Raises:
        OtherRun: another run finished there.
    """
    if not (config.output_dir / FILE_NAME).exists():
        return None
    artifact = Artifact.load(config.output_dir)
    expected: dict[str, Any] = {"stage": stage, "config": config.portable(), "parents": dict(parents or {})}
    different = [name for name, value in expected.items() if getattr(artifact, name) != value]
    if different:
        raise OtherRun(
            f"{config.output_dir} holds the result of a run with another {' and '.join(different)}; "
            "remove it or choose another output_dir."
        )
    return artifact


def record(
    config: StageConfig,
    stage: str,
    parents: Mapping[str, str],
    *,
    task: str,
    data_hash: str,
    metrics: Mapping[str, float],
    weights_hash: str = "",
    **served: str | None,
) -> Artifact:
    """The record of this run. `served`: what whoever serves the model needs, such as its `format`."""
    return Artifact.model_validate(
        {
            "name": config.name,
            "stage": stage,
            "summary": config.summary,
            "command": config.command,
            "task": task,
            "config": config.portable(),
            "data_hash": data_hash,
            "weights_hash": weights_hash,
            "parents": dict(parents),
            "metrics": dict(metrics),
            "versions": library_versions(),
            **served,
        }
    )


def finish(config: StageConfig, artifact: Artifact) -> Artifact:
    """Leave the record. It is the last thing that a stage writes: a folder that has one is whole."""
    partial = config.output_dir / f"{FILE_NAME}.partial"
    partial.write_text(artifact.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(partial, config.output_dir / FILE_NAME)
    return artifact


def parent(path: str) -> dict[str, str]:
    """A model that a run begins from, as artifacts name it: name to weights hash, or to nothing for one of the hub."""
    folder = Path(path)
    if (folder / FILE_NAME).exists():
        artifact = Artifact.load(folder)
        return {artifact.name: artifact.weights_hash}
    return {folder.name: weights_hash(folder) if folder.is_dir() else ""}


def library_versions() -> dict[str, str]:
    """Of Python and of those libraries that are installed and matter for the result."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def weights_hash(folder: Path) -> str:
    """Of all files of weights; empty where there are none."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest() if files else ""


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OtherRun(f"Another process is at work in {folder}; wait for it, or end it.") from error
