"""The stage `rejection_sampling`: what is kept of rollouts, what is dropped and why."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import Artifact
from deliberate.training.datasets import DatasetConfig, ProblemRow, read_dataset
from deliberate.training.recording.metrics import Report
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages.rejection_sampling import RejectionSamplingConfig, run
from tests.training.stages.upstreams import ended, read_lines, started, whole_lines, write_lines

MakeConfig = Callable[..., RejectionSamplingConfig]

QUESTION = "How many stamps does Lena have after she buys seven more of them today?"


def rollouts(name: str, *samples: str | dict[str, Any], question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """A line: texts are right."""
    candidates = [{"text": sample} if isinstance(sample, str) else sample for sample in samples]
    scores = [candidate.pop("score", 1.0) for candidate in candidates]
    return {"id": name, "prompt": question, "candidates": candidates, "scores": scores, **fields}


@pytest.fixture
def config(tmp_path: Path) -> MakeConfig:
    """Of these lines, with other options."""

    def make(*lines: Mapping[str, Any] | bytes, **fields: Any) -> RejectionSamplingConfig:
        source = write_lines(tmp_path / "rollouts.jsonl", *lines)
        return RejectionSamplingConfig.model_validate(
            {
                "name": "chosen",
                "output_dir": tmp_path / "out",
                "datasets": [{"format": "rollouts", "source": str(source)}],
                "min_language_consistency": None,
            }
            | fields
        )

    return make


def kept(folder: Path) -> dict[str, str]:
    """The completions by id, as stages that fine-tune read them."""
    rows = read_dataset(DatasetConfig(format="trl", source=str(folder / "out" / "data.jsonl"))).of(ProblemRow)
    return {row.id: row.solution or "" for row in rows}


def dropped(artifact: Artifact) -> dict[str, float]:
    found = {name.removeprefix("dropped_"): value for name, value in artifact.metrics.items() if "dropped_" in name}
    return {name: value for name, value in found.items() if value}


def test_only_what_is_right_finished_new_and_readable_is_kept(config: MakeConfig, tmp_path: Path) -> None:
    line = rollouts(
        "lena",
        "She has 12.",
        {"text": "She has 13.", "score": 0.0},
        {"text": "She may have 12.", "score": None},
        {"text": "She has 12. And", "finished": False},
        {"text": "  "},
        "She  has 12.\n",
        "word " * 30,
        "So:\n```python\n5 + 7\n```\n12",
        "Five and seven is 12.",
        answer="12",
    )
    reports: list[Report] = []
    artifact = run(config(line, max_paragraph_length=100, code_blocks=False), reports.append)
    assert kept(tmp_path) == {"lena#0": "She has 12.", "lena#8": "Five and seven is 12."}
    assert dropped(artifact) == {
        "wrong": 1,
        "undecided": 1,
        "unfinished": 1,
        "empty": 1,
        "duplicate": 1,
        "long_paragraph": 1,
        "code_block": 1,
    }
    assert artifact.metrics["completions"] == 9
    assert artifact.metrics["completions_kept"] == 2
    assert reports[-1].step == reports[-1].max_steps
    (first, _) = read_lines(tmp_path / "out" / "data.jsonl")
    assert first == {
        "id": "lena#0",
        "prompt": [{"role": "user", "content": QUESTION}],
        "answer": "12",
        "verifier": {"kind": "reference", "answer": "12"},
        "completion": [{"role": "assistant", "content": "She has 12."}],
    }


def test_mixed_languages(config: MakeConfig, tmp_path: Path) -> None:
    english = "<think>\nShe had five stamps before, and seven more make twelve of them.\n</think>\n12"
    mixed = "<think>\nShe had five stamps before. 然后她又买了七张邮票,所以一共有十二张邮票。\n</think>\n12"
    artifact = run(config(rollouts("lena", mixed, english, "5 + 7 = 12"), min_language_consistency=0.9))
    assert kept(tmp_path) == {"lena#1": english, "lena#2": "5 + 7 = 12"}
    assert dropped(artifact) == {"mixed_language": 1}
    assert not (tmp_path / "out" / "languages.jsonl").exists()


@pytest.mark.parametrize(
    ("choose", "expected"),
    [("first", [0, 1]), ("shortest", [2, 3]), ("best", [1, 3]), ("diverse", [0, 2])],
)
def test_at_most_so_many_of_a_problem(config: MakeConfig, tmp_path: Path, choose: str, expected: list[int]) -> None:
    line = rollouts(
        "lena",
        {"text": "Add seven to five and see that it is twelve.", "score": 0.6},
        {"text": "Add seven to five and see that it is 12 then.", "score": 0.9},
        {"text": "Twelve, by counting up.", "score": 0.5},
        {"text": "Add seven to five: 12.", "score": 0.8},
    )
    artifact = run(config(line, min_score=0.5, max_per_problem=2, choose=choose))
    assert list(kept(tmp_path)) == [f"lena#{number}" for number in expected]
    assert dropped(artifact) == {"more_than_wanted": 2}


def test_near_duplicates_of_a_problem_are_the_same(config: MakeConfig, tmp_path: Path) -> None:
    told = "First she had five of them, then she bought seven more, and so in the end there were {}"
    texts = (told.format("twelve."), told.format("12."))
    lines = (rollouts("lena", *texts), rollouts("beth", texts[1], question="And Beth?"))
    artifact = run(config(*lines, near_duplicates=0.7))
    assert list(kept(tmp_path)) == ["lena#0", "beth#0"]
    assert dropped(artifact) == {"near_duplicate": 1}


def test_problems_that_are_too_easy(config: MakeConfig, tmp_path: Path) -> None:
    lines = (
        rollouts("easy", "It is 12.", "12", "Twelve."),
        rollouts("hard", "It is 12.", {"text": "13", "score": 0.0}, question="And Beth?"),
    )
    artifact = run(config(*lines, max_pass_rate=0.9))
    assert kept(tmp_path) == {"hard#0": "It is 12."}
    assert dropped(artifact) == {"too_easy": 3, "wrong": 1}
    assert artifact.metrics["problems_kept"] == 1


def test_evaluation_data_are_not_learned(config: MakeConfig, tmp_path: Path) -> None:
    """Ten words in common, or all of a shorter text."""
    test = write_lines(
        tmp_path / "test.jsonl",
        {"question": f"Today: {QUESTION}", "answer": "one two three four five six seven eight nine ten\n#### 10"},
        {"question": "And Beth?", "answer": "#### 12"},
    )
    lines = (
        rollouts("lena", "12"),
        rollouts("beth", "12", question="and  BETH"),
        rollouts("ann", "x one two three four five six seven eight nine ten", "Ten.", question="And Ann?"),
    )
    evaluation = [{"format": "gsm8k", "source": str(test)}]
    artifact = run(config(*lines, evaluation=evaluation))
    assert kept(tmp_path) == {"ann#1": "Ten."}
    assert dropped(artifact) == {"contaminated": 3}
    questions_alone = config(*lines, evaluation=evaluation, evaluation_solutions=False, output_dir=tmp_path / "other")
    assert run(questions_alone).metrics["completions_kept"] == 2


def test_rollouts_of_the_same_problem_are_put_together(config: MakeConfig, tmp_path: Path) -> None:
    more = write_lines(tmp_path / "more.jsonl", rollouts("lena", "12", "Twelve."))
    sources = [{"format": "rollouts", "source": str(tmp_path / name)} for name in ("rollouts.jsonl", "more.jsonl")]
    run(config(rollouts("lena", "12"), datasets=sources))
    assert kept(tmp_path) == {"lena#0": "12", "lena#2": "Twelve."}
    write_lines(more, rollouts("lena", "12", question="Another one?"))
    with pytest.raises(InvalidRequest, match=r"more\.jsonl:1 has the id 'lena' of .*rollouts\.jsonl:1, and is another"):
        run(config(rollouts("lena", "12"), datasets=sources, output_dir=tmp_path / "other"))


def test_the_students_prompt_lacks_the_teachers(config: MakeConfig, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": QUESTION}]
    line = {"id": "lena", "messages": messages, "candidates": ["12"], "scores": [1.0]}
    run(config(line, drop_system_prompt=True))
    (row,) = read_lines(tmp_path / "out" / "data.jsonl")
    assert row["prompt"] == messages[1:]


def test_nothing_kept_is_an_error_that_says_why(config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"Nothing of the rollouts is kept .*2 wrong"):
        run(config(rollouts("lena", {"text": "1", "score": 0}, {"text": "2", "score": 0.5})))
    assert not (tmp_path / "out" / "data.jsonl").exists()
    assert not (tmp_path / "out" / "deliberate.json").exists()


GOOD = rollouts("lena", "12")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([GOOD, {"id": 2, "prompt": "?"}], "rollouts.jsonl:2 has no 'candidates'"),
        (
            [GOOD, {"id": 2, "prompt": "?", "candidates": []}],
            "rollouts.jsonl:2 has the 'candidates' .*a list that is not empty",
        ),
        ([GOOD, {**rollouts("b", "1"), "scores": [1, 1]}], "rollouts.jsonl:2 has 2 'scores' for 1 'candidates'"),
        ([GOOD, GOOD], "rollouts.jsonl:2 has the id 'lena' of .*rollouts.jsonl:1"),
        ([GOOD, b"\xff\n"], "rollouts.jsonl:2 is not UTF-8"),
    ],
)
def test_wrong_data_are_told_before_anything_is_written(
    config: MakeConfig, tmp_path: Path, lines: list[Any], told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told) as error:
        run(config(*lines))
    assert "othing was written" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_other_data_than_rollouts(config: MakeConfig, tmp_path: Path) -> None:
    problems = write_lines(tmp_path / "problems.jsonl", {"prompt": "?", "answer": "1"})
    with pytest.raises(InvalidRequest, match=r"problems\.jsonl:1 is a ProblemRow, but this stage needs a RolloutRow"):
        run(config(GOOD, datasets=[{"format": "trl", "source": str(problems)}]))


def test_rollouts_that_changed_are_told(config: MakeConfig) -> None:
    run(config(GOOD))
    assert run(config(GOOD)).metrics["completions_kept"] == 1
    with pytest.raises(OtherRun, match="another parents"):
        run(config(GOOD, rollouts("beth", "1", question="And Beth?")))


@pytest.mark.timeout(400)
def test_kill_9_at_random_moments_changes_nothing(config: MakeConfig, tmp_path: Path) -> None:
    sentences = ("She had five stamps and bought seven more.", "Seven more than five are twelve in all.", "是的。")
    lines = [
        rollouts(
            f"day-{i}",
            *(f"{sentence} Then {i} is added to it." for sentence in sentences),
            question=f"How many stamps does Lena have after day {i}?",
        )
        for i in range(150)
    ]
    asked = config(*lines, min_language_consistency=0.9)
    whole = run(asked.model_copy(update={"output_dir": tmp_path / "whole"}))
    assert whole.metrics["dropped_mixed_language"] > 0
    found, chance = tmp_path / "out" / "languages.jsonl", random.Random()
    for _ in range(2):
        before = whole_lines([found])
        process = started("rejection_sampling", asked.model_dump(mode="json"), tmp_path)
        while whole_lines([found]) == before:
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
    ended(started("rejection_sampling", asked.model_dump(mode="json"), tmp_path))
    assert (tmp_path / "out" / "data.jsonl").read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert Artifact.load(tmp_path / "out").data_hash == whole.data_hash
    assert not found.exists()
