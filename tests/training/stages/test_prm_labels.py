"""The stage that labels steps, as a user runs it on the bundled models."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import Artifact
from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import StepwiseRow
from deliberate.training.labelling.exact import step_checker
from deliberate.training.labelling.labels import first_error
from deliberate.training.recording.metrics import Report
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages.prm_labels import PRMLabelsConfig, run
from deliberate.training.tasks import Problem, load_task
from tests.training.stages.upstreams import calculating, ended, read_lines, started, sums, whole_lines, write_lines

TASK = load_task("word_problems")
CHECKER = step_checker(TASK)
PROBLEMS = {problem.id: problem for problem in TASK.problems("test", 0, 4, [2, 3])}

pytestmark = pytest.mark.timeout(400)


def rollout(problem: Problem) -> dict[str, Any]:
    """The reference solution and one with an error; the second has no score yet."""
    wrong = "\n".join(CHECKER.corrupted(problem, random.Random(problem.id)).steps)
    return {
        "id": problem.id,
        "messages": list(problem.messages),
        "answer": problem.answer,
        "candidates": [problem.solution, wrong],
        "scores": [1.0, None],
    }


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, Any]:
    """Of a run over rollouts in a file."""
    source = write_lines(tmp_path / "rollouts.jsonl", *map(rollout, PROBLEMS.values()))
    return {
        "name": "labels",
        "output_dir": tmp_path / "out",
        "engine": {"model": "tiny-verifier", "threads": 1},
        "datasets": [{"format": "rollouts", "source": str(source)}],
        "num_completions": 4,
        "max_completion_length": 96,
        "logging_steps": 1,
    }


def rows(folder: Path, format_name: str = "step_labels") -> tuple[StepwiseRow, ...]:
    return read_dataset(DatasetConfig(format=format_name, source=str(folder / "data.jsonl"))).of(StepwiseRow)


def true_error(row: StepwiseRow) -> int | None:
    return first_error(CHECKER.step_labels(PROBLEMS[row.id.partition("#")[0]], row.steps))


def agreement(found: tuple[StepwiseRow, ...]) -> float:
    return sum(first_error(row.labels) == true_error(row) for row in found) / len(found)


def test_monte_carlo_labels_every_step_of_the_rollouts(fields: dict[str, Any], tmp_path: Path) -> None:
    reports = list[Report]()
    config = PRMLabelsConfig.model_validate(fields | {"method": "monte_carlo"})
    artifact = run(config, reports.append)
    found, soft = rows(tmp_path / "out"), rows(tmp_path / "out", "soft_step_labels")
    assert [row.id for row in found] == [f"{name}#{number}" for name in PROBLEMS for number in (0, 1)]
    assert agreement(found) >= 0.75
    for row, shares in zip(found, soft, strict=True):
        assert row.steps == shares.steps and None not in row.labels + shares.labels
        assert all((share or 0) * 4 == round((share or 0) * 4) for share in shares.labels)
        assert [label == 1.0 for label in row.labels] == [(share or 0) > 0 for share in shares.labels]
    lines = read_lines(tmp_path / "out" / "data.jsonl")
    metrics = artifact.metrics
    assert metrics["completions"] == sum(line["usage"]["completions"] for line in lines)
    assert metrics["completions"] % 4 == 0 and metrics["sampled"] == 0
    assert metrics["hard_labels"] == metrics["soft_labels"] == metrics["steps"] == sum(len(row.steps) for row in found)
    assert metrics["wrong"] == sum(first_error(row.labels) is not None for row in found) / 8
    assert metrics["completions_per_second"] > 0
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert artifact.data_hash and not artifact.weights_hash
    assert "tiny-verifier" in artifact.parents and "rollouts.jsonl" in artifact.parents
    assert run(config) == artifact
    with pytest.raises(OtherRun, match="another config"):
        run(PRMLabelsConfig.model_validate(fields | {"method": "binary_search"}))


@pytest.mark.parametrize("method", ["binary_search", "sequential"])
def test_first_errors_cost_less_and_labels_do_not_depend_on_what_runs_beside(
    method: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    config = {"method": method}
    artifact = run(PRMLabelsConfig.model_validate(fields | config))
    found = rows(tmp_path / "out")
    assert len(found) == 8 and agreement(found) >= 0.75
    steps = sum(len(row.steps) for row in found)
    assert artifact.metrics["completions"] < 4 * steps / 2
    alone = run(PRMLabelsConfig.model_validate(fields | config | {"output_dir": tmp_path / "alone", "concurrency": 4}))
    assert alone.data_hash == artifact.data_hash


def test_omega_prm_keeps_its_budget_and_labels_its_own_rollouts(fields: dict[str, Any], tmp_path: Path) -> None:
    config = {"method": "omega_prm", "budget": 40, "engine": {"model": "tiny", "threads": 1}}
    artifact = run(PRMLabelsConfig.model_validate(fields | config))
    assert all(line["usage"]["completions"] <= 40 for line in read_lines(tmp_path / "out" / "data.jsonl"))
    found = rows(tmp_path / "out")
    assert len(found) == artifact.metrics["solutions"] > 8
    assert {row.id.partition("#")[0] for row in found} == set(PROBLEMS)
    soft = rows(tmp_path / "out", "soft_step_labels")
    assert any(label not in (0.0, 1.0, None) for row in soft for label in row.labels)


def test_exact_labels_are_the_tasks(fields: dict[str, Any], tmp_path: Path) -> None:
    config = {key: value for key, value in fields.items() if key not in ("datasets", "num_completions")}
    config |= {"method": "exact", "task": {"name": "word_problems", "count": 4, "split": "test", "difficulty": [2, 3]}}
    config |= {"engine": {"model": "tiny", "threads": 1}, "num_generations": 4}
    artifact = run(PRMLabelsConfig.model_validate(config))
    found = rows(tmp_path / "out")
    assert artifact.metrics["sampled"] == 16 and artifact.metrics["completions"] == 0
    assert len({(row.id.partition("#")[0], row.steps) for row in found}) == len(found)
    assert agreement(found) == 1.0
    assert any(first_error(row.labels) is not None for row in found)


def test_kill_9_at_random_moments_changes_nothing(fields: dict[str, Any], tmp_path: Path) -> None:
    config = {key: value for key, value in fields.items() if key != "datasets"}
    config |= {"method": "monte_carlo", "num_completions": 2, "num_generations": 2, "concurrency": 8}
    config |= {"task": {"name": "word_problems", "count": 16, "difficulty": [2]}, "max_completion_length": 64}
    config["output_dir"] = tmp_path / "killed"
    data, chance = tmp_path / "killed" / "data.jsonl", random.Random()
    for _ in range(2):
        before = whole_lines([data])
        process = started("prm_labels", config, tmp_path)
        while whole_lines([data]) == before:
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert not (tmp_path / "killed" / "deliberate.json").exists()
        assert before < whole_lines([data]) < 16
    data.open("ab").write(b'{"id": "word_problems-1", "mess')  # As a machine that loses power leaves it.
    ended(started("prm_labels", config, tmp_path), seconds=200)
    whole = run(PRMLabelsConfig.model_validate(config | {"output_dir": tmp_path / "whole"}))
    assert data.read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert _timeless(Artifact.load(tmp_path / "killed")) == _timeless(whole)


def _timeless(artifact: Artifact) -> dict[str, Any]:
    fields = artifact.model_dump(exclude={"command"})
    del fields["metrics"]["seconds"], fields["metrics"]["completions_per_second"]
    return fields


def test_a_server_that_takes_conversations_only_is_refused(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "problems.jsonl", *sums(2))
    with calculating() as (url, engine):
        config = PRMLabelsConfig.model_validate(
            {
                "name": "sums",
                "output_dir": tmp_path / "out",
                "method": "monte_carlo",
                "engine": {"base_url": url, "kind": "chat"},
                "datasets": [{"format": "trl", "source": str(source)}],
            }
        )
        with pytest.raises(InvalidRequest, match="cannot go on from the beginning of an answer"):
            run(config)
        assert not engine.calls
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "monte_carlo", "alpha": 0.5}, "monte_carlo does not read alpha; leave it out"),
        ({"method": "binary_search", "budget": 4, "reuse": True}, "does not read budget, reuse"),
        ({"method": "exact"}, "exact labels are the task's; give a task"),
        ({"method": "omega_prm", "verifier": "none"}, "omega_prm needs a verifier"),
        ({"method": "guess"}, "'monte_carlo', 'sequential', 'binary_search', 'omega_prm' or 'exact'"),
    ],
)
def test_options_that_do_not_fit_are_refused(fields: dict[str, Any], options: dict[str, Any], told: str) -> None:
    config = {key: value for key, value in fields.items() if key != "num_completions"}
    with pytest.raises(ValidationError) as refused:
        PRMLabelsConfig.model_validate(config | options)
    assert told in str(refused.value)


def test_a_row_without_a_verifier_is_told_before_anything_is_written(fields: dict[str, Any], tmp_path: Path) -> None:
    row = rollout(next(iter(PROBLEMS.values())))
    del row["answer"]
    write_lines(tmp_path / "rollouts.jsonl", json.dumps(row).encode() + b"\n")
    with pytest.raises(InvalidRequest, match=r"rollouts\.jsonl:1: the row has no answer and no verifier"):
        run(PRMLabelsConfig.model_validate(fields | {"method": "monte_carlo"}))
    assert not (tmp_path / "out").exists()
