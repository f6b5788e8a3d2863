"""The stage `distill`: from a teacher behind an address to data for fine-tuning, in one command."""

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import Artifact
from deliberate.training.datasets import DatasetConfig, ProblemRow, read_dataset
from deliberate.training.recording.metrics import Report
from deliberate.training.stages.distill import DistillConfig, run
from tests.training.stages.upstreams import calculating, ended, read_lines, started, sums, whole_lines, write_lines


def fields_of(url: str, folder: Path, *rows: Mapping[str, Any] | bytes, **fields: Any) -> dict[str, Any]:
    source = write_lines(folder / "problems.jsonl", *rows)
    return {
        "name": "distilled",
        "output_dir": folder / "out",
        "engine": {"base_url": url, "kind": "chat"},
        "datasets": [{"format": "trl", "source": str(source)}],
        "num_generations": 4,
        "max_per_problem": 2,
        **fields,
    }


def test_a_teachers_right_answers_become_training_data(tmp_path: Path) -> None:
    test = write_lines(tmp_path / "test.jsonl", {"question": "What is 3 + 3?", "answer": "#### 6"})
    reports: list[Report] = []
    with calculating() as (url, _):
        fields = fields_of(
            url, tmp_path, *sums(8), evaluation=[{"format": "gsm8k", "source": str(test)}], system_prompt="Think."
        )
        config = DistillConfig.model_validate(fields | {"drop_system_prompt": True})
        artifact = run(config, reports.append)
        assert run(config) == artifact, "what had finished is there at once"
    rows = read_dataset(DatasetConfig(format="trl", source=str(tmp_path / "out" / "data.jsonl"))).of(ProblemRow)
    problems = {row.id.partition("#")[0] for row in rows}
    assert "sum-3" not in problems
    assert len(problems) >= 5
    for row in rows:
        assert [message["role"] for message in row.prompt] == ["user"]
        assert row.solution is not None
        assert row.solution.startswith("<think>\n")
        assert row.solution.endswith(f"</think><answer>{row.answer}</answer>")
    metrics = artifact.metrics
    assert metrics["completions"] == 32
    assert (
        metrics["completions_kept"]
        == len(rows)
        == 32 - sum(value for name, value in metrics.items() if name.startswith("dropped_"))
    )
    assert metrics["dropped_wrong"] > 0
    assert metrics["dropped_contaminated"] > 0
    sampled = Artifact.load(tmp_path / "out" / "rollouts")
    assert metrics["completion_tokens"] == sampled.metrics["completion_tokens"] > 32 * 40
    assert metrics["prompt_tokens"] == sampled.metrics["prompt_tokens"]
    spent = metrics["completion_tokens"] + metrics["prompt_tokens"]
    assert metrics["tokens_per_completion_kept"] == pytest.approx(spent / len(rows), abs=0.1)
    assert reports[0].max_steps == 8
    assert reports[-1].values["completions_kept"] == len(rows)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([{"id": 1}], "problems.jsonl:1 is of no format of TRL"),
        ([{"id": 1, "prompt": "What is 1 + 1?"}], "problems.jsonl:1: the row has no answer and no verifier"),
        ([*sums(1), *sums(1)], "problems.jsonl:2 has the id 'sum-0' of"),
    ],
)
def test_wrong_data_are_told_before_anything_is_written(tmp_path: Path, lines: list[Any], told: str) -> None:
    with calculating() as (url, engine), pytest.raises(InvalidRequest, match=told) as error:
        run(DistillConfig.model_validate(fields_of(url, tmp_path, *lines)))
    assert "othing was written" in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not engine.calls


def test_evaluation_data_are_read_before_anything_is_spent(tmp_path: Path) -> None:
    with calculating() as (url, engine), pytest.raises(InvalidRequest, match=r"There is no file or folder 'no\.jsonl'"):
        evaluation = [{"format": "gsm8k", "source": "no.jsonl"}]
        run(DistillConfig.model_validate(fields_of(url, tmp_path, *sums(2), evaluation=evaluation)))
    assert not engine.calls


@pytest.mark.timeout(400)
def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path) -> None:
    with calculating(seconds_per_token=0.01, brief=True) as (url, _):
        asked = fields_of(url, tmp_path, *sums(24), num_generations=2, concurrency=8, verifier="calculator")
        whole = run(DistillConfig.model_validate(asked | {"output_dir": tmp_path / "whole"}))
        out, chance = tmp_path / "out", random.Random()
        growing = [out / "rollouts" / "data.jsonl", out / "languages.jsonl"]
        for file in growing:
            before = whole_lines([file])
            process = started("distill", asked, tmp_path)
            while whole_lines([file]) == before:
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.1) if file is growing[0] else 0)
            process.kill()
            process.communicate()
        ended(started("distill", asked, tmp_path))
    assert (out / "data.jsonl").read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert Artifact.load(out).data_hash == whole.data_hash
    ids = [line["id"] for line in read_lines(out / "rollouts" / "data.jsonl")]
    assert ids == [f"sum-{i}" for i in range(24)]
