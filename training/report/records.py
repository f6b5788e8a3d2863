"""How each result was made: the records of the artifacts, folded."""

import json
from collections.abc import Iterable, Mapping
from html import escape

from deliberate.training.report.runs import Run

_OPEN = ("name", "stage", "summary", "command", "task", "data_hash", "weights_hash")
"""First, and in this order."""


def records(runs: Iterable[Run]) -> str:
    """HTML: a `details` for each run."""
    return "\n".join(_details(run) for run in runs)


def _details(run: Run) -> str:
    if run.record is None:
        return f"<p class=unfinished>{escape(run.name)} <small>not finished</small></p>"
    known = [(name, run.record[name]) for name in _OPEN if run.record.get(name)]
    others = [(name, value) for name, value in run.record.items() if name not in _OPEN and value not in (None, {}, [])]
    rows = "\n".join(f"<tr><th scope=row>{escape(name)}<td>{_value(value)}" for name, value in [*known, *others])
    stage = escape(str(run.record.get("stage", "")))
    return f"<details><summary>{escape(run.name)} <small>{stage}</small></summary><table>{rows}</table></details>"


def _value(value: object) -> str:
    match value:
        case str():
            return escape(value)
        case Mapping() | list():
            return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
        case float():
            return f"{value:.6g}"
        case _:
            return escape(str(value))
