"""Progress bars of training runs, and running several side by side, each in a process of its own."""

import multiprocessing
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from queue import Empty, Queue

from pebble import ProcessPool
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deliberate.training.artifact import Artifact
from deliberate.training.policies.hub import hide_progress_bars
from deliberate.training.recording.metrics import Report, Reporter
from deliberate.training.stages import sft
from deliberate.training.stages.sft import SFTConfig

_POLL_SECONDS = 0.2
_SHOWN = {"loss": 4, "reward": 3, "kl": 4, "accuracy": 3, "tokens_per_second": 0}
"""Figures beside a bar, with their decimals."""


class TrainingBars:
    """One bar for each run, with the figures that tell how it goes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, report: Report) -> None:
        """A run's bar appears with its first report."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, figures="")
        self._progress.update(
            self._tasks[name], completed=report.step, total=report.max_steps, figures=_figures(report.values)
        )

    def reporter(self, name: str) -> Reporter:
        """Shows a run's reports on its bar."""
        return lambda report: self.show(name, report)


def _figures(values: Mapping[str, float]) -> str:
    return " · ".join(f"{name} {values[name]:.{digits}f}" for name, digits in _SHOWN.items() if name in values)


@contextmanager
def training_bars() -> Generator[TrainingBars]:
    """Bars for runs, drawn until the block ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TrainingBars(progress)


def run_in_turn(configs: Sequence[SFTConfig]) -> list[Artifact]:
    """Run one after the other in this process."""
    with training_bars() as bars:
        return [sft.run(config, bars.reporter(config.name)) for config in configs]


def run_side_by_side(configs: Sequence[SFTConfig]) -> list[Artifact]:
    """Run all at once, a process each. The first failure is raised once the others have ended.

    An interrupt reaches this process alone, which then ends the others; their checkpoints stay.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch takes seconds to import; so it is done once
    with training_bars() as bars, context.Manager() as manager, _killed_on_leaving(configs, context) as pool:
        reports: Queue[tuple[str, Report]] = manager.Queue()
        futures = [pool.schedule(_run_reporting, args=[config, reports]) for config in configs]
        while not all(future.done() for future in futures):
            try:
                bars.show(*reports.get(timeout=_POLL_SECONDS))
            except Empty:
                continue
        return [future.result() for future in futures]


@contextmanager
def _killed_on_leaving(configs: Sequence[SFTConfig], context: ForkServerContext) -> Generator[ProcessPool]:
    """A process for each run, which ends with the block, whatever it is doing."""
    pool = ProcessPool(len(configs), context=context)
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def _run_reporting(config: SFTConfig, reports: "Queue[tuple[str, Report]]") -> Artifact:
    def put(report: Report) -> None:
        reports.put((config.name, report))

    hide_progress_bars()
    return sft.run(config, put)
