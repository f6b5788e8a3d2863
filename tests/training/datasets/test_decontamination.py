"""Training rows that share words with evaluation data."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deliberate.training.datasets import Dataset, DatasetConfig, read_dataset
from deliberate.training.datasets.decontamination import EvaluationIndex, decontaminate

GSM8K = Path(__file__).parents[4] / "shared" / "data" / "gsm8k"
TEN = "Every tenth apple of the farm goes to the market"
Reader = Callable[..., Dataset]


def kept(read: Reader, train: dict[str, object], evaluation: dict[str, object]) -> bool:
    clean = decontaminate(
        read("trl", train, file="train.jsonl").rows, EvaluationIndex(read("trl", evaluation, file="test.jsonl").rows)
    )
    assert len(clean.rows) + len(clean.matches) == 1
    return bool(clean.rows)


@pytest.mark.parametrize(
    ("train", "evaluation", "clean"),
    [
        (f"Well, {TEN}. Why?", f"{TEN}; how many?", False),
        (f"well {TEN.upper()}", f"“{TEN.replace(' ', '  ')}”", False),
        (TEN.replace("farm", "ﬁrm"), TEN.replace("farm", "firm"), False),
        (TEN.replace("farm", "barn"), f"{TEN}; how many?", True),
        (TEN.removeprefix("Every "), TEN, True),
        ("What is 2 + 2?", "what is 2+2", False),
        ("So what is 2 + 2?", "What is 2 + 2?", True),
        ("What is 2 + 3?", "What is 2 + 2?", True),
        ("?!", "…", True),
    ],
    ids=[
        "shared",
        "spelling",
        "ligature",
        "one word",
        "nine",
        "short equal",
        "short within",
        "short other",
        "no words",
    ],
)
def test_ten_words_in_a_row_or_all_of_a_shorter_text(read: Reader, train: str, evaluation: str, clean: bool) -> None:
    assert kept(read, {"prompt": train}, {"prompt": evaluation}) is clean


def test_completions_count_on_both_sides_and_system_prompts_on_none(read: Reader) -> None:
    asked = [{"role": "system", "content": TEN}, {"role": "user", "content": "How many?"}]
    assert not kept(read, {"prompt": "?", "completion": f"So {TEN}"}, {"prompt": f"{TEN}?"})
    assert not kept(read, {"prompt": f"{TEN}?"}, {"prompt": "Which?", "completion": TEN})
    assert kept(read, {"prompt": asked}, {"prompt": f"{TEN}?"})
    assert kept(read, {"prompt": "What", "completion": TEN}, {"prompt": "What else", "completion": "None"})


def test_a_match_says_what_is_shared(read: Reader) -> None:
    evaluation = EvaluationIndex(read("trl", {"prompt": f"{TEN}?"}, file="test.jsonl").rows)
    clean = decontaminate(
        read("trl", {"prompt": "Fine."}, {"prompt": f"So {TEN}"}, file="train.jsonl").rows, evaluation
    )
    assert [row.question for row in clean.rows] == ["Fine."]
    (match,) = clean.matches
    assert f"train.jsonl:2 shares {TEN.lower()!r} with " in str(match)
    assert str(match).endswith("test.jsonl:1")


@pytest.mark.skipif(not GSM8K.is_dir(), reason=f"needs GSM8K's train.jsonl and test.jsonl in {GSM8K}")
def test_gsm8k_shares_words_with_itself() -> None:
    train, test = (
        read_dataset(DatasetConfig(format="gsm8k", source=str(GSM8K / f"{split}.jsonl"))).rows
        for split in ("train", "test")
    )
    start = time.process_time()
    found = decontaminate(train, EvaluationIndex(test))
    assert time.process_time() - start < 10
    assert len(found.matches) == 63
    assert len(decontaminate(train, EvaluationIndex(test, solutions=False)).matches) == 11
    for match in found.matches:
        assert len(match.shared.split()) == 10
    assert len(decontaminate(test, EvaluationIndex(test)).rows) == 0
