"""What is wrong with data is told with file, line and what to do, before anything is written."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import UnknownName
from deliberate.training.datasets import BadData, Dataset, DatasetConfig, read_dataset
from deliberate.training.json_lines import MAX_LINE_BYTES

Reader = Callable[..., Dataset]

ASKED = [{"role": "user", "content": "?"}]
GSM8K = {"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
MATH = {"problem": "What is $1 + 1$?", "solution": "It is $\\boxed{2}$."}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}
STEP: dict[str, Any] = {"completions": [{"text": "A", "rating": 1}], "human_completion": None, "chosen_completion": 0}
STEPS = {"prompt": "?", "completions": ["A", "B"], "labels": [True, False]}
SAMPLED = {"prompt": "?", "candidates": ["A", "B"], "scores": [1, 0]}


def prm800k(*steps: dict[str, Any], **label: Any) -> dict[str, Any]:
    question = {"problem": "?", "ground_truth_answer": "2"}
    return {"question": question, "label": {"steps": list(steps), "finish_reason": "solution"} | label}


def shepherd(text: str, label: str) -> dict[str, Any]:
    return {"input": text, "label": label}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"prompt": "1"',
            "is not JSON (Expecting ',' delimiter at character 15); write one object on each",
        ),
        (b"[1]", "is not a JSON object but '[1]'; write one object on each line"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"prompt": NaN}', "is not JSON (NaN is not JSON: write null, or leave the field out)"),
        (
            b'{"prompt": "caf\xe9"}',
            "is not UTF-8 (byte 0xe9 at 16); convert the file, as with iconv -f latin1 -t utf-8",
        ),
        ('{"prompt": "?"}'.encode("utf-16"), "is UTF-16; convert the file, as with iconv -f utf-16 -t utf-8"),
        (b'{"prompt": "\\ud83d"}', "holds half of a character (\\ud83d); write both halves"),
        (b"x" * (MAX_LINE_BYTES + 3), "is longer than 64 MiB; write one JSON object on each line"),
    ],
    ids=["cut off", "no object", "too deep", "NaN", "latin1", "UTF-16", "half a character", "huge"],
)
def test_lines_that_are_no_json(read: Reader, line: bytes, message: str) -> None:
    with pytest.raises(BadData) as error:
        read("trl", {"prompt": "fine"}, line + b"\n", {"prompt": "fine too"})
    assert f"data.jsonl:2 {message}" in str(error.value)
    assert "data.jsonl:3" not in str(error.value)
    assert "Nothing was written. Mend the line, or leave it out with skip_bad." in str(error.value)


@pytest.mark.parametrize(
    ("format_name", "line", "message"),
    [
        ("gsm8k", {"question": "?"}, "has no 'answer', only question; add it, or leave the line out"),
        ("gsm8k", GSM8K | {"question": " "}, "has an empty 'question'; fill it, or leave the line out"),
        ("gsm8k", GSM8K | {"question": None}, "has no 'question', only answer"),
        ("gsm8k", GSM8K | {"answer": 2}, "has the 'answer' 2; it must be a text"),
        ("gsm8k", GSM8K | {"answer": "It is 2."}, "ends without '#### 72' or another number; add it"),
        ("gsm8k", GSM8K | {"answer": "It is 2.\n#### "}, "ends without '#### 72' or another number; add it"),
        ("math", MATH | {"solution": "It is 2."}, "has no 'answer', nor a 'solution' with \\boxed{…}; add one of them"),
        ("math", MATH | {"solution": "It is $\\boxed{}$."}, "has no 'answer', nor a 'solution' with \\boxed{…}"),
        ("math", MATH | {"answer": ""}, "has an empty 'answer'"),
        ("humaneval", HUMANEVAL | {"test": "assert one() == 1"}, "has a 'test' without the function check(candidate)"),
        ("humaneval", HUMANEVAL | {"entry_point": "two"}, "has the 'entry_point' 'two', which its prompt and solution"),
        ("humaneval", HUMANEVAL | {"canonical_solution": ""}, "has an empty 'canonical_solution'"),
        ("prm800k", {"question": {"problem": "?"}}, "has no 'label', only question"),
        ("prm800k", {"question": "?", "label": {}}, "has the 'question' '?'; it must be an object"),
        (
            "prm800k",
            prm800k(STEP, finish_reason="done"),
            "has the 'label.finish_reason' 'done'; it must be one of found",
        ),
        (
            "prm800k",
            prm800k(STEP | {"completions": [{"text": "A", "rating": 2}]}),
            "has the 'label.steps[0].completions[0].rating' 2; it must be -1, 0 or 1",
        ),
        (
            "prm800k",
            prm800k(STEP, STEP | {"chosen_completion": 1}),
            "has the 'label.steps[1].chosen_completion' 1; it must be one of its 1 completions, counted from 0",
        ),
        (
            "prm800k",
            prm800k(STEP | {"completions": "A"}),
            "has the 'label.steps[0].completions' 'A'; it must be a list",
        ),
        (
            "math_shepherd",
            shepherd("? Step 1: A", "? Step 1: A"),
            "has an 'input' without the step mark 'ки'; end each",
        ),
        ("math_shepherd", shepherd("? A ки", "? A +"), "has no 'Step 1:' between the problem and its first step mark"),
        ("math_shepherd", shepherd("Step 1: A ки", "Step 1: A +"), "has an 'input' without a problem before 'Step 1:'"),
        ("math_shepherd", shepherd("? Step 1: A ки B", "? Step 1: A + B"), "goes on after its last step mark: 'B'"),
        (
            "math_shepherd",
            shepherd("? Step 1: A ки\nStep 2: B ки", "? Step 1: A +\nStep 2: B"),
            "has a 'label' that does not fit its 2 steps: at step 2 it must repeat the 'input' with + or - for 'ки'",
        ),
        (
            "math_shepherd",
            shepherd("? Step 1: A ки", "? Step 1: A +\nStep 2: B -"),
            "has a 'label' with more than the 1 steps of its 'input': '\\nStep 2: B -'",
        ),
        ("math_shepherd", shepherd("? Step 1: A ки", "? Step 1: B +"), "does not fit its 1 steps: at step 1"),
        (
            "math_shepherd",
            shepherd("? Step 1: A ки ки", "? Step 1: A + +"),
            "has an empty step 2; leave one of the marks",
        ),
        ("trl", {"question": "?"}, "is of no format of TRL; give it prompt with completion"),
        ("trl", {"text": "The sky is blue."}, "and not only text"),
        ("trl", STEPS | {"labels": [True]}, "has 1 'labels' for 2 'completions'; give each step one label"),
        (
            "trl",
            STEPS | {"labels": [True, 2]},
            "has the 'labels' [True, 2]; it must be a list of true, false, or numbers",
        ),
        ("trl", STEPS | {"completions": ["A", ""]}, "it must be a list of texts, none of them empty"),
        ("trl", STEPS | {"completions": []}, "has the 'completions' []; it must be a list that is not empty"),
        ("trl", {"prompt": "", "completion": "A"}, "has an empty 'prompt'"),
        ("trl", {"prompt": "?", "completion": " "}, "has an empty 'completion'"),
        ("trl", {"prompt": 1, "completion": "A"}, "has the 'prompt' 1; it must be a list that is not empty"),
        ("trl", {"prompt": "?", "completion": "A", "label": 1}, "has the 'label' 1; it must be true or false"),
        ("trl", {"prompt": "?", "chosen": "A", "rejected": "A"}, "has the same 'chosen' and 'rejected'; leave it out"),
        (
            "trl",
            {"chosen": "A", "rejected": "B"},
            "has no 'prompt', and its 'chosen' and 'rejected' do not begin alike",
        ),
        ("trl", {"messages": ASKED}, "has 'messages' that do not end with an answer of the assistant"),
        (
            "trl",
            {"prompt": ASKED, "completion": ASKED},
            "has a 'completion' of 1 messages; it must be one of the assist",
        ),
        ("trl", {"prompt": [{"role": "user"}]}, "has no 'prompt[0].content', only role"),
        (
            "trl",
            {"prompt": [{"role": "human", "content": "?"}]},
            "has the 'prompt[0].role' 'human'; it must be one of system, developer, user, assistant, tool",
        ),
        (
            "trl",
            {"prompt": [*ASKED, {"role": "assistant", "content": "A"}]},
            "has a 'prompt' that ends with the assistant; it must end with what is to be answered",
        ),
        ("trl", {"prompt": "?", "verifier": {"kind": "gold"}}, "has a 'verifier' that cannot be read"),
        ("trl", {"prompt": "?", "answer": ""}, "has an empty 'answer'"),
        ("rollouts", {"prompt": "?"}, "has no 'candidates', only prompt"),
        ("rollouts", SAMPLED | {"scores": [1]}, "has 1 'scores' for 2 'candidates'; give each one, or null"),
        ("rollouts", SAMPLED | {"scores": [1, 7]}, "has the 'scores' [1, 7]; it must be a list of numbers from 0 to 1"),
        ("rollouts", SAMPLED | {"candidates": ["A", 1]}, "it must be a list of texts, or of objects with a text"),
        ("rollouts", SAMPLED | {"candidates": ["A", {}]}, "has no 'candidates[1].text'"),
        (
            "rollouts",
            SAMPLED | {"candidates": ["A", {"text": "B", "token_ids": [1, 2], "logprobs": [-1.0]}]},
            "has 1 logprobs for the 2 token_ids of candidates[1]; give each token one",
        ),
    ],
)
def test_lines_that_do_not_fit_their_format(read: Reader, format_name: str, line: object, message: str) -> None:
    with pytest.raises(BadData) as error:
        read(format_name, b"\n", line)
    assert "data.jsonl:2 " in str(error.value)
    assert message in str(error.value)


def test_ids_are_unique(read: Reader) -> None:
    with pytest.raises(BadData, match=r"data\.jsonl:2 has the id 'HumanEval/0' of \S*data\.jsonl:1; give each its own"):
        read("humaneval", HUMANEVAL, HUMANEVAL)


def test_all_bad_lines_are_counted_and_the_first_are_shown(read: Reader) -> None:
    with pytest.raises(BadData) as error:
        read("trl", {"prompt": "fine"}, *({"prompt": ""} for _ in range(9)))
    message = str(error.value)
    assert [f"data.jsonl:{line} has" in message for line in (1, 2, 6, 7)] == [False, True, True, False]
    assert "… and 4 more" in message
    assert "9 lines cannot be read as trl; nothing was written" in message


def test_bad_lines_can_be_left_out_and_are_listed(read: Reader) -> None:
    huge = b'{"prompt": "' + b"x" * MAX_LINE_BYTES + b'"}\n'
    data = read("trl", {"prompt": "1"}, {"prompt": ""}, huge, b"\xff\n", {"prompt": "5"}, {"id": "a"}, skip_bad=True)
    assert [row.question for row in data.rows] == ["1", "5"]
    assert [message.split(" ")[0].rpartition(":")[2] for message in data.bad] == ["2", "3", "4", "6"]


def test_of_a_line_with_many_rows_none_is_kept_when_one_is_bad(read: Reader) -> None:
    bad = STEP | {"completions": [*STEP["completions"], {"text": "", "rating": 1}]}
    data = read("prm800k", prm800k(STEP, bad), prm800k(STEP), skip_bad=True)
    assert [row.place[-2:] for row in data.rows] == [":2"]
    assert len(data.bad) == 1


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty_files(read: Reader, content: bytes) -> None:
    with pytest.raises(BadData, match=r"data\.jsonl holds no rows; write one JSON object on each line"):
        read("trl", content)


def test_files_of_bad_lines_only(read: Reader) -> None:
    with pytest.raises(BadData, match=r"holds no rows, only 2 lines that cannot be read"):
        read("trl", {}, {}, skip_bad=True)


def test_files_that_are_cut_off_or_no_data(read: Reader) -> None:
    packed = gzip.compress(json.dumps({"prompt": "?" * 1000}).encode())
    with pytest.raises(BadData, match=r"is no whole gzip file .*; fetch it again"):
        read("trl", packed[:-9])
    with pytest.raises(BadData, match=r"is only a pointer of Git LFS; fetch the file itself with git lfs pull"):
        read("prm800k", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(BadData, match=r"is not JSON \(.*\); write one object on each line, or a list of objects"):
        read("math", b'[\n{"problem": 1', file="math.json")
    with pytest.raises(BadData, match=r"a\.json item 2 is not a JSON object but '5'"):
        read("trl", b'[{"prompt": "?"},\n5]', file="a.json")


def test_sources_and_formats_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match=r"There is no file or folder 'nowhere'; datasets of the Hub are written hf:owner"
    ):
        read_dataset(DatasetConfig(format="trl", source="nowhere"))
    with pytest.raises(BadData, match=r"holds no data; files end in \.json, "):
        read_dataset(DatasetConfig(format="trl", source=str(tmp_path)))
    with pytest.raises(UnknownName, match=r"Unknown dataset format 'gms8k'; known: .*Did you mean 'gsm8k'"):
        read_dataset(DatasetConfig(format="gms8k", source=str(tmp_path)))
