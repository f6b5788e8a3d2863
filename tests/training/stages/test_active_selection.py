"""Convincing wrong answers: which are chosen, and the stage that chooses them."""

import json
from pathlib import Path
from typing import Any

import pytest

from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA
from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import RolloutRow, Sample
from deliberate.training.datasets.sources import BadData
from deliberate.training.selection.convincing import Judged, most_convincing
from deliberate.training.stages.active_selection import ActiveSelectionConfig, run

LENGTH = {"kind": "length", "maximum": 0, "slack": 10, "unit": "characters"}
"""Shorter answers convince it more."""


def judged(*answers: tuple[float, float | None]) -> list[Judged]:
    """Of true scores and what the selector gives."""
    return [Judged(Sample(str(number), score), convincing) for number, (score, convincing) in enumerate(answers)]


def texts(answers: tuple[Judged, ...]) -> list[str]:
    return [answer.sample.text for answer in answers]


def test_four_of_five_are_the_most_convincing_wrong_ones_and_the_fifth_of_all_others() -> None:
    wrong = [(0.0, 0.1), (0.0, 0.9), (0.5, 0.8), (0.0, 0.2), (0.0, 0.7), (0.0, 0.3)]
    answers = judged(*wrong, (1.0, 0.6), (1.0, 0.95))
    assert texts(most_convincing(answers, 5, wrong_share=0.8, min_score=1.0)) == ["1", "2", "4", "5", "7"]


def test_the_others_may_be_wrong_as_well() -> None:
    answers = judged((0.0, 0.9), (0.0, 0.8), (1.0, 0.1))
    assert texts(most_convincing(answers, 2, wrong_share=0.5, min_score=1.0)) == ["0", "1"]


def test_where_too_few_are_wrong_others_take_their_places() -> None:
    answers = judged((1.0, 0.2), (0.0, 0.1), (1.0, 0.9), (1.0, None))
    assert texts(most_convincing(answers, 3, wrong_share=0.8, min_score=1.0)) == ["0", "1", "2"]
    assert len(most_convincing(answers, 9, wrong_share=0.8, min_score=1.0)) == 4


def rollout(number: int, *answers: tuple[str, float | None]) -> dict[str, Any]:
    asked = {"id": f"p{number}", "messages": [{"role": "user", "content": f"Question {number}?"}], "answer": "1"}
    return asked | {"candidates": [text for text, _ in answers], "scores": [score for _, score in answers]}


def config(folder: Path, *lines: dict[str, Any], **changed: Any) -> ActiveSelectionConfig:
    source = folder / "rollouts.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    fields = {"name": "chosen", "output_dir": folder / "out", "verifier": LENGTH, "num_selected": 2, "logging_steps": 1}
    data = {"datasets": [{"format": "rollouts", "source": str(source)}]}
    return ActiveSelectionConfig.model_validate({**fields, **data, **changed})


def chosen(folder: Path) -> list[tuple[str, list[tuple[str, float | None]]]]:
    data = read_dataset(DatasetConfig(format="rollouts", source=str(folder / DATA)))
    return [(row.id, [(sample.text, sample.score) for sample in row.samples]) for row in data.of(RolloutRow)]


def test_the_stage_leaves_rollouts_with_their_true_scores(tmp_path: Path) -> None:
    first = rollout(1, ("long wrong", 0.0), ("wrong", 0.0), ("right", 1.0), ("r", 1.0), ("?", None), ("wrong", 0.0))
    made = config(tmp_path, first, rollout(2, ("no", 0.0), ("yes", 1.0)), wrong_share=0.5)
    artifact = run(made)
    assert chosen(made.output_dir) == [
        ("p1", [("wrong", 0.0), ("r", 1.0)]),
        ("p2", [("no", 0.0), ("yes", 1.0)]),
    ]
    assert (artifact.metrics["completions_kept"], artifact.metrics["completions_right"]) == (4, 2)
    assert "rollouts.jsonl" in artifact.parents
    assert run(made) == artifact == Artifact.load(made.output_dir)


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    lines = [rollout(number, ("no", 0.0), ("yes", 1.0), ("never", 0.0)) for number in range(5)]
    whole = run(config(tmp_path, *lines, output_dir=tmp_path / "whole"))
    data = (tmp_path / "whole" / DATA).read_bytes()
    made = config(tmp_path, *lines)
    run(made)
    (made.output_dir / "deliberate.json").rename(tmp_path / "record")
    unfinished = {"stage": "active_selection", "config": made.portable(), "parents": whole.parents}
    (made.output_dir / "unfinished.json").write_text(json.dumps(unfinished))
    (made.output_dir / DATA).write_bytes(data[: len(data) // 2])
    assert run(made).data_hash == whole.data_hash
    assert (made.output_dir / DATA).read_bytes() == data


def test_rollouts_without_scores_say_nothing_of_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"None of the rollouts has a score"):
        run(config(tmp_path, rollout(1, ("yes", None))))
    assert not (tmp_path / "out").exists()
