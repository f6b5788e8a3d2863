"""Progress bars of training runs, and running several side by side, each in a process of its own."""

import multiprocessing
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from queue import Empty, Queue

from pebble import ProcessPool
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
from deliberate.training.recording.metrics import Report
from deliberate.training.stages import sft
from deliberate.training.stages.sft import SFTConfig

_POLL_SECONDS = 0.2


class TrainingBars:
    """One bar for each run, with its loss and speed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def add(self, config: SFTConfig) -> None:
        task = self._progress.add_task(config.name, total=config.max_steps, loss="-", speed="-")
        self._tasks[config.name] = task

    def show(self, name: str, report: Report) -> None:
        self._progress.update(
            self._tasks[name],
            completed=report.step,
            loss=f"{report.values['loss']:.4f}",
            speed=f"{report.values['tokens_per_second']:,.0f}",
        )


@contextmanager
def training_bars(configs: Sequence[SFTConfig]) -> Generator[TrainingBars]:
    """Bars for these runs, drawn until the block ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bars = TrainingBars(progress)
        for config in configs:
            bars.add(config)
        yield bars


def run_in_turn(configs: Sequence[SFTConfig]) -> list[Artifact]:
    """Run one after the other in this process."""
    with training_bars(configs) as bars:
        return [sft.run(config, lambda report, name=config.name: bars.show(name, report)) for config in configs]


def run_side_by_side(configs: Sequence[SFTConfig]) -> list[Artifact]:
    """Run all at once, a process each. The first failure is raised once the others have ended.

    An interrupt reaches this process alone, which then ends the others; their checkpoints stay.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch takes seconds to import; so it is done once
    with training_bars(configs) as bars, context.Manager() as manager, _killed_on_leaving(configs, context) as pool:
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
