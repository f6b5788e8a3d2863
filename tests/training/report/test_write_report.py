"""What a report is made of: runs that still write, runs of any size, files that are not what they should be."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.training.report import write_report

from .runs import evaluation, write_metrics, write_record, write_samples


def data(page: Path) -> dict[str, Any]:
    """What the page's scripts draw."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_a_run_that_is_still_writing(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 2.0}, {"loss": 1.0}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    page = write_report(tmp_path)
    assert data(page)["curves"]["loss"][0]["points"]["value"] == [2.0, 1.0]
    text = page.read_text(encoding="utf-8")
    assert "not finished" in text and "left out" not in text.partition("<section")[0]


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 2.0}])
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'garbage\n["step"]\n{"step": 2, "loss": 1.5}\n{"step": "3"}\n\xff\n')
    page = write_report(tmp_path)
    assert data(page)["curves"]["loss"][0]["points"]["value"] == [2.0, 1.5]
    notes = re.findall(r"<p class=note>(.*?)</p>", page.read_text(encoding="utf-8"))
    assert ["line 2" in notes[0], "line 3" in notes[1], "line 5" in notes[2], "more" in notes[3]] == [True] * 4


def test_losses_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 2.0}, {"loss": float("nan")}, {"loss": float("inf")}, {"loss": 10**400}])
    (curve,) = data(write_report(tmp_path))["curves"]["loss"]
    assert curve["points"]["value"] == [2.0]
    assert curve["note"] == "nan at step 2 and 2 more"


def test_a_metric_that_begins_late_and_has_gaps(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"loss": 1.0}, {"loss": 1.0, "kl": 0.5}, {"loss": 1.0}, {"kl": 0.25}])
    drawn = data(write_report(tmp_path))["curves"]
    assert drawn["kl"][0]["points"]["step"] == [2, 4]
    assert drawn["loss"][0]["points"]["step"] == [1, 2, 3]


def test_the_most_telling_metrics_come_first(tmp_path: Path) -> None:
    names = ["learning_rate", "zeta", "loss", "alpha", "reward", "kl"]
    write_metrics(tmp_path, [dict.fromkeys(names, 1.0)])
    assert list(data(write_report(tmp_path))["curves"]) == ["reward", "kl", "loss", "alpha", "zeta", "learning_rate"]


def test_runs_are_found_wherever_they_are_but_not_their_checkpoints(tmp_path: Path) -> None:
    for name in ("02-train", "01-sample", "deep/er/run", "02-train/checkpoint-10", "02-train/partial-20"):
        write_metrics(tmp_path / name, [{"loss": 1.0}])
    page = write_report(tmp_path, output=tmp_path / "elsewhere" / "page.html")
    assert page == tmp_path / "elsewhere" / "page.html"
    assert [run["name"] for run in data(page)["runs"]] == ["01-sample", "02-train", "deep/er/run"]


def test_a_long_run_makes_a_small_page_that_keeps_its_extremes(tmp_path: Path) -> None:
    count = 100_000
    lines = [{"loss": 1 + step / count, "reward": 0.5, "kl": 0.01, "grad_norm": 1.0} for step in range(count)]
    lines[77_777]["loss"], lines[12_345]["grad_norm"] = -7.0, 99.0
    write_metrics(tmp_path, lines)
    write_samples(tmp_path, {step: [str(step)] * 20 for step in range(1, 2_000)})
    page = write_report(tmp_path)
    assert page.stat().st_size < 1_000_000
    drawn = data(page)
    assert min(drawn["curves"]["loss"][0]["points"]["value"]) == -7.0
    assert max(drawn["curves"]["grad_norm"][0]["points"]["value"]) == 99.0
    (samples,) = drawn["samples"]
    assert (samples["steps"][0]["step"], samples["steps"][-1]["step"], samples["all_steps"]) == (1, 1_999, 1_999)
    assert len(samples["steps"]) == 60
    assert samples["steps"][0]["total"] == 20 and len(samples["steps"][0]["groups"][0]["samples"]) == 16


def test_long_texts_lose_their_middle(tmp_path: Path) -> None:
    write_samples(tmp_path, {1: ["a" * 5_000 + "b" * 5_000]})
    shown = data(write_report(tmp_path))["samples"][0]["steps"][0]["groups"][0]["samples"][0]["completion"]
    assert shown == "a" * 2_000 + "\n… 7,000 characters are left out …\n" + "b" * 1_000


def test_samples_that_others_wrote(tmp_path: Path) -> None:
    lines = [{"prompt": "p", "step": 7, "completion": "c", "reward": float("inf"), "rewards": None}, {"step": 8}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (samples,) = data(write_report(tmp_path))["samples"]
    assert [step["step"] for step in samples["steps"]] == [7, 8]
    assert samples["steps"][0]["groups"][0]["samples"][0]["reward"] is None


def test_figures_of_an_evaluation(tmp_path: Path) -> None:
    write_record(tmp_path)
    given = tmp_path.parent / f"{tmp_path.name}-figures.json"
    given.write_text(json.dumps(evaluation(curve_tokens={"best_of_n": [1_900, 4_100, 8_000]})), encoding="utf-8")
    (drawn,) = data(write_report(tmp_path, evals=[given]))["scaling"]
    points = {
        series["name"]: [(p["tokens"], round(p["accuracy"])) for p in series["points"]] for series in drawn["series"]
    }
    assert points["best_of_n"] == [(19.0, 50), (41.0, 70), (80.0, 80)]
    assert points["none, tiny"] == [(20.0, 50)]
    assert points["pass@n, which no choice can beat"] == [(19.0, 50), (41.0, 75), (80.0, 90)]


def test_older_figures_have_tokens_in_proportion(tmp_path: Path) -> None:
    write_record(tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps(evaluation()), encoding="utf-8")
    (drawn,) = data(write_report(tmp_path))["scaling"]
    assert [point["tokens"] for point in drawn["series"][0]["points"]] == [20.0, 40.0, 80.0]


def test_what_there_is_nothing_to_report_on(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no folder .*nowhere"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match=r"holds no run: no metrics.jsonl"):
        write_report(tmp_path)
    write_record(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(InvalidRequest, match=r"notes.json holds no figures; `deliberate eval"):
        write_report(tmp_path, evals=[tmp_path / "notes.json"])
    with pytest.raises(InvalidRequest, match=r"missing.json cannot be read"):
        write_report(tmp_path, evals=[tmp_path / "missing.json"])
    assert not (tmp_path / "report.html").exists()
