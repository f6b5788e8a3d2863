"""Every format as its authors publish it."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deliberate.cli.verify_lines import LineReader
from deliberate.training.datasets import (
    BadData,
    Dataset,
    DatasetConfig,
    PreferenceRow,
    ProblemRow,
    RolloutRow,
    Sample,
    StepwiseRow,
    UnpairedRow,
    format_names,
    read_dataset,
)
from deliberate.training.rewards import VerifierReward
from deliberate.verifiers.answers import final_answer

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs GSM8K and HumanEval in {DATA}")

Reader = Callable[..., Dataset]

ASKED = [{"role": "user", "content": "What color is the sky?"}]
BLUE = [{"role": "assistant", "content": "It is blue."}]
GREEN = [{"role": "assistant", "content": "It is green."}]
REFERENCE = {"kind": "reference", "answer": "blue"}


def test_formats_are_found_by_name() -> None:
    names = ["gsm8k", "humaneval", "math", "math_shepherd", "prm800k", "rollouts", "soft_step_labels", "step_labels"]
    assert format_names() == [*names, "trl"]


@needs_data
def test_gsm8k_itself() -> None:
    train, test = (
        read_dataset(DatasetConfig(format="gsm8k", source=str(DATA / "gsm8k" / f"{split}.jsonl")))
        for split in ("train", "test")
    )
    assert (len(train.rows), len(test.rows)) == (7473, 1319)
    for row in train.of(ProblemRow) + test.of(ProblemRow):
        assert row.solution is not None
        assert "<<" not in row.solution
        assert final_answer(row.solution) == row.answer
    first = train.of(ProblemRow)[0]
    assert first.id == "train.jsonl:1"
    assert first.question.startswith("Natalia sold clips to 48 of her friends")
    assert first.solution == (
        "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether in April and May.\n#### 72"
    )
    assert first.verifier == {"kind": "reference", "answer": "72"}


@needs_data
def test_a_folder_is_all_its_files() -> None:
    both = read_dataset(DatasetConfig(format="gsm8k", source=str(DATA / "gsm8k")))
    assert len({row.id for row in both.rows}) == 7473 + 1319


@needs_data
def test_humaneval_itself_and_its_verifier() -> None:
    rows = read_dataset(DatasetConfig(format="humaneval", source=str(DATA / "humaneval" / "HumanEval.jsonl.gz")))
    problems = rows.of(ProblemRow)
    assert len(problems) == 164
    row = problems[2]
    assert row.id == "HumanEval/2"
    assert row.solution is not None
    broken = row.solution.replace("% 1.0", "% 2.0")
    assert broken != row.solution
    with VerifierReward(dict(row.verifier or {})) as reward:
        assert reward(prompts=[row.prompt] * 2, completions=[row.solution, broken]) == [1.0, 0.0]


MATH = {
    "problem": "Compute $\\sin 30^\\circ$.",
    "level": "Level 1",
    "type": "Geometry",
    "solution": "It is $\\frac{1}{2}$, so $\\boxed{\\frac{1}{2}}$.",
}


def test_math_as_a_folder_of_documents(tmp_path: Path) -> None:
    for number, topic in enumerate(("algebra", "geometry")):
        (tmp_path / "train" / topic).mkdir(parents=True)
        content = json.dumps(MATH | {"problem": f"{number}?"}, indent=4)
        (tmp_path / "train" / topic / "1.json").write_text(content, encoding="utf-8")
    rows = read_dataset(DatasetConfig(format="math", source=str(tmp_path))).of(ProblemRow)
    assert [row.id for row in rows] == ["train/algebra/1.json", "train/geometry/1.json"]
    assert {row.answer for row in rows} == {"\\frac{1}{2}"}


def test_math_500_has_answers_and_ids(read: Reader) -> None:
    line = MATH | {"answer": "0.5", "subject": "Geometry", "level": 1, "unique_id": "test/geometry/807.json"}
    (row,) = read("math", line).of(ProblemRow)
    assert (row.id, row.answer, row.verifier) == (
        "test/geometry/807.json",
        "0.5",
        {"kind": "reference", "answer": "0.5"},
    )
    assert row.solution == MATH["solution"]


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("So $\\boxed{2}$ or rather $\\boxed{3}$.", "3"),
        ("$\\fbox{x^{2}}$", "x^{2}"),
        ("So it is $\\boxed 9$.", "9"),
        ("$\\boxed{\\text{Monday}}$", "\\text{Monday}"),
    ],
)
def test_boxes_of_math(read: Reader, solution: str, answer: str) -> None:
    assert read("math", MATH | {"solution": solution}).rows[0].answer == answer


def completion(text: str, rating: int | None) -> dict[str, Any]:
    return {"text": text, "rating": rating, "flagged": None}


def prm800k(steps: list[dict[str, Any]], finish_reason: str, **fields: Any) -> dict[str, Any]:
    return {
        "labeler": "340d89bc-f5b7-45e9-b272-909ba68ee363",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": 9,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": "What is the greatest common factor of $20 !$ and $200,\\!000$?",
            "ground_truth_solution": "… $2^6 \\cdot 5^4=\\boxed{40,\\!000}$.",
            "ground_truth_answer": "40,\\!000",
            "pre_generated_steps": ["A", "B", "C", "D"],
            "pre_generated_answer": "320,000",
            "pre_generated_verifier_score": 0.010779580529581414,
        },
        "label": {"steps": steps, "total_time": 278270, "finish_reason": finish_reason},
    } | fields


def test_prm800k_ends_with_the_first_error(read: Reader) -> None:
    steps = [
        {"completions": [completion("A", 0)], "human_completion": None, "chosen_completion": 0},
        {"completions": [completion("B", 1)], "human_completion": None, "chosen_completion": 0},
        {
            "completions": [completion("C", -1), completion("C2", 0), completion("C3", -1)],
            "human_completion": None,
            "chosen_completion": None,
        },
    ]
    rows = read("prm800k", prm800k(steps, "found_error")).of(StepwiseRow)
    assert [(row.steps, row.labels) for row in rows] == [
        (("A", "B", "C"), (1.0, 1.0, 0.0)),
        (("A", "B", "C2"), (None, None, 1.0)),
        (("A", "B", "C3"), (None, None, 0.0)),
    ]
    assert len({row.id for row in rows}) == 3
    assert {row.answer for row in rows} == {"40,\\!000"}


def test_prm800k_goes_on_with_what_people_wrote(read: Reader) -> None:
    human = {"text": "mine", "rating": None, "source": "human", "flagged": False, "corrected_rating": None}
    steps = [
        {"completions": [completion("A", -1)], "human_completion": human, "chosen_completion": None},
        {"completions": [completion("B", -1), completion("B2", 1)], "human_completion": None, "chosen_completion": 1},
    ]
    rows = read("prm800k", prm800k(steps, "solution", generation=None)).of(StepwiseRow)
    assert [(row.steps, row.labels) for row in rows] == [
        (("mine", "B2"), (1.0, 1.0)),
        (("A",), (0.0,)),
        (("mine", "B"), (None, 0.0)),
    ]


def test_prm800k_ends_where_nothing_was_chosen(read: Reader) -> None:
    step = {"completions": [completion("A", 1)], "human_completion": None, "chosen_completion": 0}
    undecided = {"completions": [completion("B", -1)], "human_completion": None, "chosen_completion": None}
    nothing = {"completions": None, "human_completion": None, "chosen_completion": None}
    rows = read("prm800k", prm800k([step, undecided, step], "give_up"), prm800k([step, nothing], "give_up"))
    assert [row.labels for row in rows.of(StepwiseRow)] == [(1.0, 0.0), (1.0,)]


def test_prm800k_without_what_teaches_nothing(read: Reader) -> None:
    step = {"completions": [completion("A", 1)], "human_completion": None, "chosen_completion": 0}
    unrated = {"completions": [completion("A", None)], "human_completion": None, "chosen_completion": None}
    rows = read(
        "prm800k",
        prm800k([step], "bad_problem"),
        prm800k([step], "solution", is_quality_control_question=True),
        prm800k([step], "solution", is_initial_screening_question=True),
        prm800k([], "give_up"),
        prm800k([unrated], "give_up"),
        prm800k([step], "solution"),
    ).rows
    assert [row.id for row in rows] == ["data.jsonl:6#0"]


def test_math_shepherd(read: Reader) -> None:
    text = (
        "Buzz bought a pizza with 78 slices. How many did the waiter eat? Step 1: The ratio is 5+8 = <<5+8=13>>13. ки\n"
        "Step 2: The waiter ate 13 x 8 / 13 = 6. ки\nStep 3: The answer is: 6 ки"
    )
    label = "-".join(text.replace("ки", "+", 1).split("ки"))
    (row,) = read("math_shepherd", {"input": text, "label": label, "task": "GSM8K"}).of(StepwiseRow)
    assert row.question == "Buzz bought a pizza with 78 slices. How many did the waiter eat?"
    assert row.steps == (
        "Step 1: The ratio is 5+8 = <<5+8=13>>13.",
        "Step 2: The waiter ate 13 x 8 / 13 = 6.",
        "Step 3: The answer is: 6",
    )
    assert row.labels == (1.0, 0.0, 0.0)


def test_math_shepherds_problems_with_a_mark_within(read: Reader) -> None:
    text = "Parker ки has 3 chips. How many is that? step 1: It is 3. ки\nStep 2: The answer is: 3 ки"
    label = "Parker + has 3 chips. How many is that? step 1: It is 3. -\nStep 2: The answer is: 3 +"
    (row,) = read("math_shepherd", {"input": text, "label": label}).of(StepwiseRow)
    assert row.question == "Parker  has 3 chips. How many is that?"
    assert (row.steps, row.labels) == (("step 1: It is 3.", "Step 2: The answer is: 3"), (0.0, 1.0))


@pytest.mark.parametrize("asked", ["What color is the sky?", ASKED])
@pytest.mark.parametrize("answered", ["It is blue.", BLUE])
def test_trl_prompts_and_completions(read: Reader, asked: object, answered: object) -> None:
    (row,) = read("trl", {"prompt": asked, "completion": answered, "answer": "blue"}).of(ProblemRow)
    assert row.prompt == tuple(ASKED)
    assert (row.solution, row.answer, row.verifier) == ("It is blue.", "blue", REFERENCE)


def test_trl_prompts_with_what_judges_answers(read: Reader) -> None:
    verifier = {"kind": "regex", "pattern": "blue"}
    rows = read(
        "trl", {"prompt": "?"}, {"prompt": ASKED, "verifier": verifier, "id": "sky"}, {"prompt": "!", "answer": 3}
    )
    plain, judged, counted = rows.of(ProblemRow)
    assert (plain.solution, plain.verifier, plain.id) == (None, None, "data.jsonl:1")
    assert (judged.verifier, judged.id) == (verifier, "sky")
    assert counted.verifier == {"kind": "reference", "answer": "3"}


def test_trl_conversations_with_tools(read: Reader) -> None:
    call = {"type": "function", "function": {"name": "light", "arguments": {"on": True}}}
    tool = {"type": "function", "function": {"name": "light", "parameters": {"type": "object"}}}
    asked = [{"role": "system", "content": "Be brief."}, *ASKED]
    line = {"messages": [*asked, {"role": "assistant", "tool_calls": [call]}], "tools": [tool]}
    (row,) = read("trl", line).of(ProblemRow)
    assert row.prompt == tuple(asked)
    assert row.question == "What color is the sky?"
    assert row.solution == '<tool_call>{"name": "light", "arguments": {"on": true}}</tool_call>'
    assert row.tools == (tool,)


@pytest.mark.parametrize(
    "line",
    [
        {"prompt": ASKED, "chosen": BLUE, "rejected": GREEN},
        {"prompt": "What color is the sky?", "chosen": "It is blue.", "rejected": "It is green."},
        {"chosen": ASKED + BLUE, "rejected": ASKED + GREEN},
    ],
)
def test_trl_preferences(read: Reader, line: dict[str, Any]) -> None:
    (row,) = read("trl", line).of(PreferenceRow)
    assert (row.prompt, row.chosen, row.rejected) == (tuple(ASKED), "It is blue.", "It is green.")


def test_trl_preferences_with_the_prompt_within_the_texts(read: Reader) -> None:
    (row,) = read("trl", {"chosen": "The sky is bluish.", "rejected": "The sky is black."}).of(PreferenceRow)
    assert (row.question, row.chosen, row.rejected) == ("The sky is", " bluish.", " black.")


def test_trl_unpaired_preferences(read: Reader) -> None:
    rows = read("trl", *({"prompt": "?", "completion": str(label), "label": label} for label in (True, False)))
    assert [(row.completion, row.label) for row in rows.of(UnpairedRow)] == [("True", True), ("False", False)]


def test_trl_steps(read: Reader) -> None:
    steps = ["The fractional part of 9.8 is 0.8.", "0.11 is greater than 0.8.", "Hence, 9.11 > 9.8."]
    line = {"prompt": "Which number is larger, 9.8 or 9.11?", "completions": steps, "labels": [True, False, 0.25]}
    (row,) = read("trl", line).of(StepwiseRow)
    assert (row.steps, row.labels) == (tuple(steps), (1.0, 0.0, 0.25))


def test_rollouts_are_read_here_and_by_verify(read: Reader) -> None:
    sampled = {"text": "381", "token_ids": [5, 6], "logprobs": [-0.5, -1], "finished": False}
    line = {"id": 7, "messages": ASKED, "candidates": ["391", sampled], "scores": [1, None], "verifier": REFERENCE}
    (row,) = read("rollouts", line).of(RolloutRow)
    assert (row.id, row.verifier, row.prompt) == ("7", REFERENCE, tuple(ASKED))
    assert row.samples == (Sample("391", 1.0), Sample("381", None, False, (5, 6), (-0.5, -1.0)))
    reader = LineReader("rollouts.jsonl")
    assert len(list(reader.read(io.BytesIO(json.dumps(line).encode())))) == 1
    assert not reader.bad


def test_files_packed_with_gzip_whatever_their_name(read: Reader) -> None:
    packed = gzip.compress(json.dumps({"prompt": "?"}).encode())
    assert len(read("trl", packed, file="data.jsonl.gz").rows) == 1
    assert len(read("trl", packed, file="data.jsonl").rows) == 1


def test_a_json_file_may_hold_a_list_or_lines(read: Reader) -> None:
    assert [row.place[-6:] for row in read("trl", [{"prompt": "1"}, {"prompt": "2"}], file="a.json").rows] == [
        "item 1",
        "item 2",
    ]
    assert len(read("trl", {"prompt": "1"}, {"prompt": "2"}, file="b.json").rows) == 2


def test_blank_lines_and_a_byte_order_mark_do_not_matter(read: Reader) -> None:
    rows = read("trl", b"\xef\xbb\xbf", {"prompt": "é"}, b"\n  \n", {"prompt": "2"}).rows
    assert [(row.question, row.place.rpartition(":")[2]) for row in rows] == [("é", "1"), ("2", "4")]


def test_a_stage_may_ask_for_one_kind_of_rows(read: Reader) -> None:
    data = read("trl", {"prompt": "?"}, {"prompt": "?", "chosen": "a", "rejected": "b"})
    with pytest.raises(BadData, match=r"data\.jsonl:1 is a ProblemRow, but this stage needs a PreferenceRow"):
        data.of(PreferenceRow)
