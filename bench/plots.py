"""Pictures of measurements. Needs matplotlib: `pip install 'deliberate[plots]'`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deliberate.bench.evaluate import Report
from deliberate.engines.errors import DeliberateError


class PlotsMissing(DeliberateError):
    """matplotlib is not installed."""


class Bar(Protocol):
    """One side's ratio under one load."""

    @property
    def side(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def clients(self) -> int: ...
    @property
    def ratio(self) -> float: ...


class Point(Protocol):
    """One strategy at one size."""

    @property
    def strategy(self) -> str: ...
    @property
    def tokens(self) -> float: ...
    @property
    def accuracy(self) -> float: ...


class LabelPoint(Protocol):
    """One way of labelling steps."""

    @property
    def method(self) -> str: ...
    @property
    def completions(self) -> float: ...
    @property
    def f1(self) -> float: ...


def accuracy_curves(report: Report, title: str, path: Path) -> None:
    """Accuracy against the number of samples, a line per strategy, with pass@k as the ceiling. Saved as PNG or SVG."""
    figure = _figure(7)
    axes = figure.add_subplot()
    lines: Mapping[str, Sequence[tuple[int, float]]] = report.curves
    for name, points in lines.items():
        axes.plot([n for n, _ in points], [100 * a for _, a in points], marker="o", label=name)
    ceiling = sorted(report.pass_at.items())
    axes.plot([k for k, _ in ceiling], [100 * a for _, a in ceiling], "--", color="grey", label="pass@n (ceiling)")
    axes.set_xscale("log", base=2)
    ticks = sorted({n for points in lines.values() for n, _ in points} | set(report.pass_at))
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set(xlabel="samples n", ylabel="accuracy (%)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path)


def accuracy_against_tokens(points: Sequence[Point], title: str, path: Path) -> None:
    """Accuracy against generated tokens per problem, a line per strategy. Saved as PNG or SVG."""
    figure = _figure(8)
    axes = figure.add_subplot()
    for strategy in dict.fromkeys(point.strategy for point in points):
        line = sorted((p.tokens, 100 * p.accuracy) for p in points if p.strategy == strategy)
        axes.plot([tokens for tokens, _ in line], [accuracy for _, accuracy in line], marker="o", label=strategy)
    axes.set_xscale("log", base=2)
    ticks = [2**i for i in range(4, 14) if min(p.tokens for p in points) / 2 < 2**i < 2 * max(p.tokens for p in points)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel="generated tokens per problem", ylabel="accuracy (%)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path)


def f1_against_completions(points: Sequence[LabelPoint], title: str, path: Path) -> None:
    """F1 of first errors against completions per solution, a line per method. Saved as PNG or SVG."""
    figure = _figure(8)
    axes = figure.add_subplot()
    for method in dict.fromkeys(point.method for point in points):
        line = sorted((point.completions, point.f1) for point in points if point.method == method)
        axes.plot([completions for completions, _ in line], [f1 for _, f1 in line], marker="o", label=method)
    axes.set_xscale("log", base=2)
    most = max(point.completions for point in points)
    ticks = [2**i for i in range(12) if 2**i < 2 * most]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel="completions per solution", ylabel="F1 of first errors", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path)


def engine_bars(bars: Sequence[Bar], path: Path) -> None:
    """Each side's tokens per second as a share of the first side's, a group of bars per load. Saved as PNG or SVG."""
    loads = list(dict.fromkeys((bar.n, bar.clients) for bar in bars))
    sides = list(dict.fromkeys(bar.side for bar in bars))
    figure = _figure(10)
    axes = figure.add_subplot()
    width = 0.8 / (len(sides) - 1)
    for i, side in enumerate(sides[1:]):
        places = [loads.index((bar.n, bar.clients)) - 0.4 + (i + 0.5) * width for bar in bars if bar.side == side]
        axes.bar(places, [bar.ratio for bar in bars if bar.side == side], width, label=side)
    axes.axhline(1, linestyle="--", color="grey", label=sides[0])
    axes.set_xticks(range(len(loads)), [f"n = {n}\n{clients} clients" for n, clients in loads])
    axes.set(ylabel=f"tokens/s, share of {sides[0]}")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path)


def _figure(width: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise PlotsMissing("The plot needs matplotlib: pip install 'deliberate[plots]'") from error
    return Figure(figsize=(width, 4.5), dpi=150, layout="constrained")
