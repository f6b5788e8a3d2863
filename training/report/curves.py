"""The metrics of a run, thinned for drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deliberate.training.recording.metrics import FILE_NAME
from deliberate.training.report.lines import Lines
from deliberate.training.report.thinning import STRETCHES, means, thinned

AXES = ("step", "tokens", "seconds")
"""What a curve may be drawn against."""

_FIRST = ("reward", "reward_std", "accuracy", "kl", "entropy", "completion_length", "loss")
_LAST = ("grad_norm", "learning_rate", "tokens_per_second")


@dataclass(slots=True)
class Metrics:
    """metrics.jsonl as columns: a value for each line, None where it has none."""

    columns: dict[str, list[float | None]] = field(default_factory=dict[str, list[float | None]])
    notes: list[str] = field(default_factory=list[str])
    max_steps: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "Metrics":
        lines, metrics, count = Lines(folder / FILE_NAME), cls(), 0
        for count, line in enumerate(lines.objects(), 1):
            for name, value in line.items():
                column = metrics.columns.setdefault(name, [])
                column.extend([None] * (count - 1 - len(column)))
                column.append(_number(value))
        for column in metrics.columns.values():
            column.extend([None] * (count - len(column)))
        steps = metrics.columns.pop("max_steps", [])
        metrics.max_steps = int(steps[-1]) if steps and steps[-1] is not None else None
        metrics.columns = {
            name: column for name, column in metrics.columns.items() if any(v is not None for v in column)
        }
        metrics.notes = lines.notes
        return metrics

    @property
    def step(self) -> int:
        """The last one."""
        last = self.columns.get("step", [])[-1:]
        return int(last[0]) if last and last[0] is not None else 0

    def curve(self, name: str) -> dict[str, Any] | None:
        """The points of a metric as columns; None for a metric it has not. What is not finite is told and left out."""
        if name not in self.columns:
            return None
        column = self.columns[name]
        lines = [line for line, value in enumerate(column) if value is not None and math.isfinite(value)]
        values = [value for value in column if value is not None and math.isfinite(value)]
        points = self._points([(lines[at], values[at]) for at in thinned(values)])
        few = len(values) <= 4 * STRETCHES
        stretches = None if few else self._points([(lines[at], mean) for at, mean in means(values)])
        return {"points": points, "means": stretches, "note": self._not_finite(column)}

    def _points(self, points: Sequence[tuple[int, float]]) -> dict[str, list[float | None]]:
        axes = {
            axis: [_short(self.columns[axis][line], 10) for line, _ in points] for axis in AXES if axis in self.columns
        }
        return {**axes, "value": [_short(value, 6) for _, value in points]}

    def _not_finite(self, column: Sequence[float | None]) -> str:
        at = [line for line, value in enumerate(column) if value is not None and not math.isfinite(value)]
        if not at:
            return ""
        more = f" and {len(at) - 1} more" if len(at) > 1 else ""
        return f"{column[at[0]]} at step {self.columns['step'][at[0]]:g}{more}"


def curves(runs: Sequence[Metrics]) -> dict[str, list[dict[str, Any]]]:
    """Each metric with its curves, which name the number of their run. Those that matter most come first."""
    names = {name for metrics in runs for name in metrics.columns if name not in AXES}
    drawn = {name: [_of_run(number, metrics, name) for number, metrics in enumerate(runs)] for name in names}
    return {name: [curve for curve in drawn[name] if curve is not None] for name in sorted(names, key=_rank)}


def _of_run(number: int, metrics: Metrics, name: str) -> dict[str, Any] | None:
    curve = metrics.curve(name)
    return None if curve is None else {"run": number, **curve}


def _rank(name: str) -> tuple[int, int, str]:
    if name in _FIRST:
        return 0, _FIRST.index(name), name
    return (2, _LAST.index(name), name) if name in _LAST else (1, 0, name)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _short(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
