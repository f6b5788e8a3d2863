"""Rejection sampling: keeps the right, finished and readable completions of rollouts, for supervised fine-tuning.

As in DeepSeek-R1 (DeepSeek-AI 2025, arXiv:2501.12948): wrong answers, mixed languages, long paragraphs and, where it is
asked for, code blocks are left out; so are duplicates, and what shares words with evaluation data. data.jsonl holds
prompts and completions as TRL reads them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA, Clock, claimed, data_hash, data_parents
from deliberate.training.datasets.appending import encoded, whole_file
from deliberate.training.datasets.loading import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import RolloutRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.datasets.writing import completion_line
from deliberate.training.recording.metrics import MetricsLog, Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.selection.candidates import Candidate, merged
from deliberate.training.selection.languages import FILE_NAME as LANGUAGES
from deliberate.training.selection.options import SelectionOptions
from deliberate.training.selection.selecting import Selection, evaluation_index
from deliberate.training.stages._protocol import Stage, StageConfig

NAME = "rejection_sampling"


class RejectionSamplingConfig(StageConfig, SelectionOptions):
    """One selection."""

    no_effect: ClassVar[frozenset[str]] = StageConfig.no_effect | {"logging_steps"}

    datasets: tuple[DatasetConfig, ...] = Field(
        min_length=1, description="Rollouts; those of the same problems are put together."
    )
    logging_steps: int = Field(default=100, gt=0, description="A line of metrics.jsonl covers this many problems.")


def run(config: RejectionSamplingConfig, report: Reporter = lambda _: None) -> Artifact:
    """Select, and leave data.jsonl, of the format `trl`.

    Raises:
        OtherRun: the folder holds another run.
        BadData: the rollouts or the evaluation data cannot be read, or nothing of them is kept.
    """
    known = data_parents((*config.datasets, *config.evaluation))
    done = finished(config, NAME, known)
    if done is not None:
        return done
    rows = read_rollouts(config.datasets)
    selection = Selection(config, rows, evaluation_index(config))
    with claimed(config, NAME, known):
        metrics = write_selection(selection, config.output_dir, report, config.logging_steps)
        return finish(config, _artifact(config, known, metrics))


def read_rollouts(datasets: Sequence[DatasetConfig]) -> tuple[RolloutRow, ...]:
    """Raises BadData."""
    return merged(row for config in datasets for row in read_dataset(config).of(RolloutRow))


def write_selection(selection: Selection, folder: Path, report: Reporter, logging_steps: int) -> dict[str, float]:
    """Write data.jsonl at once; returns figures for the artifact. Raises BadData where nothing is kept."""
    clock, last = Clock(folder), len(selection.rows) + 1
    log = MetricsLog(folder, resumed_step=0, resumed_tokens=0, interval=logging_steps, max_steps=last, watcher=report)
    kept = asyncio.run(selection.kept(folder, lambda step: log.add({}, step=step, tokens=0, seconds=clock.seconds)))
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in selection.dropped.most_common())
        raise BadData(f"Nothing of the rollouts is kept ({reasons}); sample more, or ask for less.")
    _write(folder / DATA, kept)
    metrics = selection.metrics(kept)
    log.add(metrics, step=last, tokens=0, seconds=clock.seconds)
    (folder / LANGUAGES).unlink(missing_ok=True)
    return {**metrics, "seconds": round(clock.seconds)}


def _write(path: Path, kept: Sequence[Candidate]) -> None:
    with whole_file(path) as file:
        for candidate in kept:
            file.write(encoded(completion_line(candidate.row)))


def _artifact(config: RejectionSamplingConfig, known: Mapping[str, str], metrics: dict[str, Any]) -> Artifact:
    return record(
        config,
        NAME,
        known,
        task=", ".join(data.source for data in config.datasets),
        data_hash=data_hash(config.output_dir / DATA),
        metrics=metrics,
    )


STAGE = Stage(name=NAME, config=RejectionSamplingConfig, run=run)
