"""Checkpoints of a run: all that is needed to go on as if it had never stopped.

The position in the data is the step itself (see `data.BatchStream.from_step`) and nothing else in a run is random,
so weights, optimizer state, step and running totals are the whole state.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from deliberate.training.hub import save_model

_STATE = "trainer_state.pt"
_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    tokens: int = 0
    """Prompt and completion tokens seen."""
    seconds: float = 0.0
    """Time spent, over all sessions of the run."""
    data_hash: str = ""
    """Chained hash of every batch seen."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back."""

    model: Path
    """Folder of the weights."""
    optimizer: list[dict[str, Any]]
    progress: Progress


class CheckpointError(ValueError):
    """A folder holds a checkpoint of some other run."""


def save(folder: Path, model: LlamaForCausalLM, optimizer: list[dict[str, Any]], progress: Progress, run: str) -> None:
    """Write `checkpoint-<step>` under `folder`: it appears whole or not at all. `run` identifies the configuration."""
    target = folder / f"{_PREFIX}{progress.step}"
    partial = folder / f"partial-{progress.step}"
    shutil.rmtree(partial, ignore_errors=True)
    save_model(model, partial)
    torch.save({"optimizer": optimizer, "progress": asdict(progress), "run": run}, partial / _STATE)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


def load_latest(folder: Path, run: str, device: torch.device) -> Checkpoint | None:
    """The newest checkpoint under `folder`; None where there is none.

    Raises:
        CheckpointError: the checkpoint is of a run with another configuration.
    """
    saved = all_of(folder)
    if not saved:
        return None
    state: dict[str, Any] = torch.load(saved[-1] / _STATE, map_location=device, weights_only=True)
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
