"""The loop of every stage that changes weights: updates, rates, clipping, metrics, checkpoints, going on after a kill.

A stage brings a `Learner`, which leaves gradients on its parameters. What a learner does in step s depends on its
weights, its configuration and s alone, so that a run that was killed and started again ends with the same weights.
Several processes each leave the gradients of their share, and the main one writes.
"""

import hashlib
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from deliberate.engines.errors import DeliberateError
from deliberate.training.artifact import Artifact
from deliberate.training.optimization import checkpoint, processes
from deliberate.training.optimization.checkpoint import Progress
from deliberate.training.optimization.config import OptimizationConfig
from deliberate.training.optimization.optimizer import HybridOptimizer, scheduled_rate
from deliberate.training.optimization.sharding import add_up_gradients, clip_gradients
from deliberate.training.recording.metrics import MetricsLog, Reporter, read_lines
from deliberate.training.recording.tensorboard import open_tensorboard
from deliberate.training.run_folder import finish


@dataclass(frozen=True, slots=True)
class Update:
    """What was learned from, for one update of the weights."""

    values: Mapping[str, float]
    """Figures for the metrics, such as `loss`."""
    tokens: int = 0
    """Prompt and completion tokens that went into it."""
    data: bytes = b""
    """What went into it, or a hash of it, for the hash of all data."""


class Learner(Protocol):
    """What learns. Made by a stage at its beginning; the loop then restores it where a run goes on."""

    @property
    def device(self) -> torch.device: ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """What learns has `requires_grad`."""
        ...

    def updates(self, step: int) -> Iterator[Update]:
        """Work through step `step` (from 0). At each yield the gradients lie on the parameters, of this process's share
        alone; the loop adds them up, applies and clears them before it goes on. Most stages have one update in a
        step."""
        ...

    def save(self, folder: Path) -> None:
        """Write all that a checkpoint needs, weights in Hugging Face's form where possible. `folder` exists. All
        processes come here; the main one writes."""
        ...

    def restore(self, folder: Path) -> None:
        """Take the state that `save` wrote."""
        ...


class Diverged(DeliberateError):
    """Gradients are no longer numbers; the last checkpoint is from before."""


def optimize(config: OptimizationConfig, learner: Learner, report: Reporter, *, run: str) -> Progress:
    """Go on to `config.max_steps` from the newest checkpoint in `config.output_dir`, and leave one of the end there.

    `run` identifies the run: a checkpoint with another one is refused by CheckpointError.
    """
    folder = config.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = HybridOptimizer(learner.named_parameters(), optim=config.optim, weight_decay=config.weight_decay)
    progress = Progress()
    if (saved := checkpoint.load_latest(folder, run)) is not None:
        learner.restore(saved.folder)
        optimizer.load_state_dict(saved.optimizer)
        progress = saved.progress
    processes.wait()  # Until all have read the checkpoint, which the next one replaces.
    with closing(_log(config, progress, report)) if processes.is_main() else nullcontext() as log:
        while progress.step < config.max_steps:
            progress, values = _step(config, learner, optimizer, progress)
            if log is not None:
                log.add(values, step=progress.step, tokens=progress.tokens, seconds=progress.seconds)
            if progress.step % config.save_steps == 0 or progress.step == config.max_steps:
                _save(config, learner, optimizer, progress, run)
    return progress


def _log(config: OptimizationConfig, progress: Progress, report: Reporter) -> MetricsLog:
    board = open_tensorboard(config.output_dir, resumed_step=progress.step)
    return MetricsLog(
        config.output_dir,
        resumed_step=progress.step,
        resumed_tokens=progress.tokens,
        interval=config.logging_steps,
        max_steps=config.max_steps,
        watcher=report,
        recorders=() if board is None else (board,),
    )


def _step(
    config: OptimizationConfig, learner: Learner, optimizer: HybridOptimizer, before: Progress
) -> tuple[Progress, dict[str, float]]:
    started = time.perf_counter()
    rate = scheduled_rate(
        before.step,
        peak=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps,
        max_steps=config.max_steps,
    )
    tokens, data_hash, gathered = before.tokens, before.data_hash, dict[str, list[float]]()
    for update in learner.updates(before.step):
        add_up_gradients(optimizer.parameters)
        norm = clip_gradients(optimizer.parameters, config.max_grad_norm)
        if not math.isfinite(norm):
            raise Diverged(f"The gradient of step {before.step + 1} is {norm}: lower learning_rate or max_grad_norm.")
        optimizer.step(rate)
        tokens += update.tokens
        data_hash = hashlib.blake2b(data_hash.encode() + update.data, digest_size=16).hexdigest()
        for name, value in {**update.values, "learning_rate": rate, "grad_norm": norm}.items():
            gathered.setdefault(name, []).append(value)
    progress = replace(
        before,
        step=before.step + 1,
        tokens=tokens,
        seconds=before.seconds + time.perf_counter() - started,
        data_hash=data_hash,
    )
    return progress, {name: sum(values) / len(values) for name, values in gathered.items()}


def _save(
    config: OptimizationConfig, learner: Learner, optimizer: HybridOptimizer, progress: Progress, run: str
) -> None:
    """Write a checkpoint and drop those over the limit."""
    folder = config.output_dir
    partial = folder / f"partial-{progress.step}"
    if processes.is_main():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    processes.wait()
    learner.save(partial)
    state = optimizer.state_dict()
    if processes.is_main():
        checkpoint.save(folder, partial, state, progress, run)
        if config.save_total_limit is not None:
            checkpoint.prune(folder, config.save_total_limit)


def finish_training(config: OptimizationConfig, artifact: Artifact) -> Artifact:
    """Leave the record of a finished model, and remove the checkpoints that nobody wants to keep."""
    if processes.is_main():
        finish(config, artifact)
        if config.save_total_limit is not None:
            checkpoint.prune(config.output_dir, keep=0)
    processes.wait()
    return artifact


def train_metrics(folder: Path, *names: str) -> dict[str, float]:
    """Figures of a run for its record: these of the last line of its metrics, as `train_loss`, with tokens and time."""
    last = read_lines(folder)[-1]
    figures = {f"train_{name}": last[name] for name in names if name in last}
    return {**figures, "train_tokens": last["tokens"], "train_seconds": round(last["seconds"])}
