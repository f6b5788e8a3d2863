"""A picture of a run's curves, for model cards."""

from pathlib import Path
from typing import Any

from deliberate.engines.errors import DeliberateError
from deliberate.training.report.curves import Metrics, curves

PICTURE = "curves.png"
_MOST = 6
_PER_ROW = 3


class PictureNeedsMatplotlib(DeliberateError):
    """The library that draws is not installed."""


def draw_curves(run: Path, target: Path) -> None:
    """Draw the metrics of a run that matter most, into a PNG; nothing where the run has none.

    Raises PictureNeedsMatplotlib.
    """
    drawn = list(curves([Metrics.read(run)]).items())[:_MOST]
    if not drawn:
        return
    rows = -(-len(drawn) // _PER_ROW)
    figure = _figure(rows)
    for place, (name, (curve, *_)) in enumerate(drawn, 1):
        axes = figure.add_subplot(rows, _PER_ROW, place)
        points, means = curve["points"], curve["means"]
        axes.plot(points["step"], points["value"], linewidth=1, alpha=0.4 if means else 1)
        if means:
            axes.plot(means["step"], means["value"], linewidth=2, color="C0")
        axes.set_title(name, fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.grid(alpha=0.3)
    figure.savefig(target)


def _figure(rows: int) -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise PictureNeedsMatplotlib("The card's curves need matplotlib: pip install 'deliberate[plots]'") from error
    return Figure(figsize=(3 * _PER_ROW, 2 * rows), dpi=90, layout="constrained")
