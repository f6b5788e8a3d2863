"""Pictures of measurements. Needs matplotlib: `pip install 'deliberate[plots]'`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deliberate.bench.evaluate import Report
from deliberate.engines.errors import DeliberateError


class PlotsMissing(DeliberateError):
    """matplotlib is not installed."""


def accuracy_curves(report: Report, title: str, path: Path) -> None:
    """Accuracy against the number of samples, a line per strategy, with pass@k as the ceiling. Saved as PNG or SVG."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise PlotsMissing("The plot needs matplotlib: pip install 'deliberate[plots]'") from error
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
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
