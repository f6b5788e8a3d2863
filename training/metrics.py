"""What a run tells while it goes: reports to its watcher, the same as JSON lines on disk."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from deliberate.training.checkpoint import Progress

FILE_NAME = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Update:
    """One optimizer update."""

    loss: float
    """Mean cross entropy per completion token, in nats."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""


@dataclass(frozen=True, slots=True)
class Report:
    """One line of metrics.jsonl: the updates since the line before."""

    step: int
    max_steps: int
    loss: float
    """Mean over these updates."""
    learning_rate: float
    """Of the last of them."""
    grad_norm: float
    """Of the last of them."""
    tokens: int
    """Prompt and completion tokens since the run began."""
    tokens_per_second: float
    """Over these updates."""


Reporter = Callable[[Report], None]


class MetricsLog:
    """Gathers updates; every `interval` steps, and at the last, writes a line and calls the watcher."""

    def __init__(self, folder: Path, resumed: Progress, *, interval: int, max_steps: int, watcher: Reporter) -> None:
        """Lines in the folder from after the progress `resumed` are dropped, since they will be written again."""
        self._path = folder / FILE_NAME
        self._interval = interval
        self._max_steps = max_steps
        self._watcher = watcher
        self._losses: list[float] = []
        self._tokens, self._since = resumed.tokens, time.perf_counter()
        kept = [line for line in read_lines(folder) if json.loads(line)["step"] <= resumed.step]
        self._path.write_text("".join(kept), encoding="utf-8")

    def add(self, update: Update, progress: Progress) -> None:
        """Note the update that led to `progress`."""
        self._losses.append(update.loss)
        if progress.step % self._interval == 0 or progress.step == self._max_steps:
            report = self._report(update, progress)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(report)) + "\n")
            self._watcher(report)

    def _report(self, update: Update, progress: Progress) -> Report:
        now = time.perf_counter()
        report = Report(
            step=progress.step,
            max_steps=self._max_steps,
            loss=sum(self._losses) / len(self._losses),
            learning_rate=update.learning_rate,
            grad_norm=update.grad_norm,
            tokens=progress.tokens,
            tokens_per_second=(progress.tokens - self._tokens) / (now - self._since),
        )
        self._losses, self._tokens, self._since = [], progress.tokens, now
        return report


def read_lines(folder: Path) -> list[str]:
    """The lines of a run's metrics so far."""
    path = folder / FILE_NAME
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
