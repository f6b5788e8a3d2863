"""The whole report in one HTML file, which asks nobody for anything.

What models write is data: it is in the page as JSON whose signs of HTML are escaped, and shown as text. Should it ever
be taken for HTML, the page's own policy lets no script run but those here, which are known by their hash.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from deliberate.training.report.chain import drawn_chain
from deliberate.training.report.curves import Metrics, curves
from deliberate.training.report.records import records
from deliberate.training.report.runs import find_runs
from deliberate.training.report.samples import Samples
from deliberate.training.report.scaling import evaluations

FILE_NAME = "report.html"

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("elements.js", "chart.js", "curves.js", "samples.js", "scaling.js", "start.js")
_AS_TEXT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_report(folder: Path, *, evals: Sequence[Path] = (), output: Path | None = None) -> Path:
    """Write the report on all runs in a folder, by default into the folder, and return its path.

    `evals` are files that `deliberate eval` saved; those in the folder are found. Raises InvalidRequest for a folder
    without runs and for a file that holds no figures.
    """
    page = _page(folder, evals)
    path = output or folder / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(page)
    os.replace(partial, path)
    return path


def _page(folder: Path, evals: Sequence[Path]) -> bytes:
    runs = find_runs(folder)
    scaling = [evaluation.drawn() for evaluation in evaluations(folder, evals)]
    metrics = [Metrics.read(run.folder) for run in runs]
    samples = [Samples.read(run.folder) for run in runs]
    notes = [note for one in (*metrics, *samples) for note in one.notes]
    data = {
        "runs": [{"name": run.name, "steps": one.step} for run, one in zip(runs, metrics, strict=True)],
        "curves": curves(metrics),
        "samples": [_samples(number, one) for number, one in enumerate(samples) if one.steps],
        "scaling": scaling,
    }
    name = folder.resolve().name
    finished = sum(run.record is not None for run in runs)
    counted = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    facts = f"{counted}, {finished} finished · written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    style, script = _file("page.css"), "\n".join(map(_file, _SCRIPTS))
    page = Template(_file("page.html")).substitute(
        title=escape(name),
        facts=facts,
        notes="".join(f"<p class=note>{escape(note)}</p>" for note in notes),
        chain=drawn_chain(folder),
        records=records(runs),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_json(data),
    )
    # Half of a surrogate pair, which has no UTF-8, is an escape in JSON with a backslash.
    return page.encode(errors="backslashreplace")


def _samples(run: int, samples: Samples) -> dict[str, Any]:
    low, high = samples.range
    return {"run": run, "all_steps": samples.all_steps, "low": low, "high": high, "steps": samples.steps}


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_AS_TEXT)


def _file(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a policy names what it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
