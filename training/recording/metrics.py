"""The figures of a run: reports to its watcher, the same as JSON lines on disk."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from deliberate.training.recording.step_lines import StepLines, whole_lines

FILE_NAME = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Report:
    """One line of metrics.jsonl: what happened since the line before."""

    step: int
    max_steps: int
    tokens: int
    """Since the run began."""
    seconds: float
    """Since the run began, over all its sessions."""
    values: Mapping[str, float]
    """Means over the steps since the line before, each over those steps that had the value."""

    @property
    def line(self) -> dict[str, Any]:
        """As it stands in the file: flat."""
        return {
            "step": self.step,
            "max_steps": self.max_steps,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            **self.values,
        }


Reporter = Callable[[Report], None]


class Recorder(Protocol):
    """Takes the lines of metrics.jsonl and keeps them somewhere else as well."""

    def add(self, line: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class MetricsLog:
    """Gathers steps; every `interval` of them, and at the last, writes a line and tells the watcher."""

    def __init__(
        self,
        folder: Path,
        *,
        resumed_step: int,
        resumed_tokens: int,
        interval: int,
        max_steps: int,
        watcher: Reporter,
        recorders: tuple[Recorder, ...] = (),
    ) -> None:
        """Lines in the folder from after the step `resumed_step` are dropped, since they will be written again."""
        self._lines = StepLines(folder / FILE_NAME, resumed_step=resumed_step)
        self._interval = interval
        self._max_steps = max_steps
        self._watcher = watcher
        self._recorders = recorders
        self._gathered: dict[str, list[float]] = {}
        self._tokens, self._since = resumed_tokens, time.perf_counter()

    def add(self, values: Mapping[str, float], *, step: int, tokens: int, seconds: float) -> None:
        """Note what was measured in the step that led here."""
        for name, value in values.items():
            self._gathered.setdefault(name, []).append(value)
        if step % self._interval == 0 or step == self._max_steps:
            report = Report(step, self._max_steps, tokens, seconds, self._means(tokens))
            self._lines.add([report.line])
            for recorder in self._recorders:
                recorder.add(report.line)
            self._watcher(report)

    def close(self) -> None:
        self._lines.close()
        for recorder in self._recorders:
            recorder.close()

    def _means(self, tokens: int) -> dict[str, float]:
        now = time.perf_counter()
        means = {name: fmean(values) for name, values in self._gathered.items()}
        means["tokens_per_second"] = (tokens - self._tokens) / (now - self._since)
        self._gathered, self._tokens, self._since = {}, tokens, now
        return means


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's metrics so far; one that was being written when the run was killed is left out.

    Raises DamagedLine.
    """
    path = folder / FILE_NAME
    return [fields for fields, _ in whole_lines(path)] if path.exists() else []
