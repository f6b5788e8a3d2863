"""Labelled solutions as data: one file for hard labels and soft ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from deliberate.training.datasets import BadData, DatasetConfig, read_dataset
from deliberate.training.datasets.rows import StepwiseRow

LINE = {
    "id": 4,
    "messages": [{"role": "user", "content": "?"}],
    "answer": "3",
    "solutions": [
        {"steps": ["a", "b", "c"], "hard_labels": [True, False, None], "soft_labels": [0.75, 0.0, None]},
        {"steps": ["a"], "hard_labels": [True], "soft_labels": [None]},
    ],
}


def rows(folder: Path, format_name: str, *lines: dict[str, Any]) -> tuple[StepwiseRow, ...]:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_dataset(DatasetConfig(format=format_name, source=str(path))).of(StepwiseRow)


def test_each_solution_with_a_label_is_a_row(tmp_path: Path) -> None:
    first, second = rows(tmp_path, "step_labels", LINE)
    assert (first.id, second.id) == ("4#0", "4#1")
    assert (first.steps, first.labels) == (("a", "b", "c"), (1.0, 0.0, None))
    assert first.prompt == ({"role": "user", "content": "?"},)
    assert first.verifier == {"kind": "reference", "answer": "3"}
    (soft,) = rows(tmp_path, "soft_step_labels", LINE)
    assert (soft.id, soft.labels) == ("4#0", (0.75, 0.0, None))


def test_a_problem_without_solutions_teaches_nothing(tmp_path: Path) -> None:
    assert len(rows(tmp_path, "step_labels", LINE | {"id": 1, "solutions": []}, LINE)) == 2


@pytest.mark.parametrize(
    ("solution", "told"),
    [
        ({"hard_labels": [True]}, "has 1 'solutions[0].hard_labels' for 2 steps; give each one, or null"),
        ({"hard_labels": [True, 2]}, "it must be a list of true, false, numbers from 0 to 1, or null"),
        ({"hard_labels": None}, "has no 'solutions[0].hard_labels'"),
        ({"steps": ["a", ""]}, "it must be a list of texts, none of them empty"),
    ],
)
def test_wrong_labels_are_told(tmp_path: Path, solution: dict[str, Any], told: str) -> None:
    sound = {"steps": ["a", "b"], "hard_labels": [True, False], "soft_labels": [1.0, 0.0]}
    with pytest.raises(BadData) as refused:
        rows(tmp_path, "step_labels", LINE | {"solutions": [sound | solution]})
    assert told in str(refused.value) and "data.jsonl:1" in str(refused.value)
