"""Checkpoints of a run: all that is needed to go on as if it had never stopped.

The position in the data is the step itself and nothing else in a run is random, so weights, optimizer state, step and
running totals are the whole state.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from deliberate.engines.errors import DeliberateError

_STATE = "trainer_state.pt"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    tokens: int = 0
    """Prompt and completion tokens seen."""
    seconds: float = 0.0
    """Time spent, over all sessions of the run."""
    data_hash: str = ""
    """Chained hash of every batch seen."""


class CheckpointError(DeliberateError):
    """A folder holds a checkpoint of some other run."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that is there."""

    folder: Path
    """Where the learner kept its weights."""
    optimizer: list[dict[str, Any]]
    progress: Progress


def save(folder: Path, weights: Path, optimizer: list[dict[str, Any]], progress: Progress, run: str) -> None:
    """Make `checkpoint-<step>` under `folder` of the folder `weights`, which it moves: whole, or not at all.

    `run` identifies the configuration.
    """
    torch.save({"optimizer": optimizer, "progress": asdict(progress), "run": run}, weights / _STATE)
    target = folder / f"{_PREFIX}{progress.step}"
    shutil.rmtree(target, ignore_errors=True)
    os.replace(weights, target)


def load_latest(folder: Path, run: str) -> Checkpoint | None:
    """The newest checkpoint under `folder`; None where there is none.

    Raises:
        CheckpointError: the checkpoint is of a run with another configuration.
    """
    saved = all_of(folder)
    if not saved:
        return None
    state: dict[str, Any] = torch.load(saved[-1] / _STATE, map_location="cpu", mmap=True, weights_only=True)
    if state["run"] != run:
        raise CheckpointError(
            f"{saved[-1]} belongs to a run with another configuration; remove {folder} or choose another output_dir"
        )
    return Checkpoint(saved[-1], state["optimizer"], Progress(**state["progress"]))


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    saved = all_of(folder)
    for old in saved[: len(saved) - keep]:
        shutil.rmtree(old)


def all_of(folder: Path) -> list[Path]:
    """Checkpoints under `folder`, oldest first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)))
