"""Rows that say the same."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from deliberate.training.datasets import Dataset, DatasetConfig, Row, read_dataset
from deliberate.training.datasets.deduplication import deduplicated, without_near_duplicates

GSM8K = Path(__file__).parents[4] / "shared" / "data" / "gsm8k"
Reader = Callable[..., Dataset]


def questions(rows: Sequence[Row]) -> list[str]:
    return [row.question for row in rows]


def test_the_first_of_equal_rows_is_kept(read: Reader) -> None:
    texts = [
        "What is 3 + 4?",
        "What is 3 - 4?",
        "What  is 3 + 4?\n",
        "what is 3 + 4?",
        "Cafe\u0301",
        "Caf\u00e9",
        "x²",
        "x2",
    ]
    rows = read("trl", *({"prompt": text} for text in texts)).rows
    assert questions(deduplicated(rows)) == [texts[0], texts[1], texts[3], texts[4], texts[6], texts[7]]


def test_rows_of_one_question_differ_by_their_completions(read: Reader) -> None:
    rows = read("trl", *({"prompt": "?", "completion": text} for text in ("A", "B", "A"))).rows
    assert [row.completions for row in deduplicated(rows)] == [("A",), ("B",)]
    assert len(deduplicated(rows, text=lambda row: row.question)) == 1


def test_near_duplicates(read: Reader) -> None:
    text = "A farmer has 12 cows and 30 hens, sells a third of the hens and buys 4 cows. How many animals are left?"
    texts = [text, text.replace("farmer", "baker"), text.replace("12 cows and 30 hens", "9 pigs"), "Other.", "Other!"]
    rows = read("trl", *({"prompt": text} for text in texts)).rows
    assert questions(without_near_duplicates(rows, 0.8)) == [texts[0], *texts[2:]]
    assert questions(without_near_duplicates(rows, 0.5)) == [texts[0], *texts[3:]]
    assert questions(without_near_duplicates(rows, 1.0)) == texts


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_no_near_duplicate_is_missed(read: Reader, threshold: float) -> None:
    """Against all pairs."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices("abcd", k=rng.randint(1, 9))) for _ in range(300)]
    rows = read("trl", *({"prompt": text} for text in texts)).rows
    kept = list[Row]()
    for row in rows:
        if all(jaccard(row.question, other.question) < threshold for other in kept):
            kept.append(row)
    assert 1 < len(kept) < 300
    assert list(without_near_duplicates(rows, threshold, n=2)) == kept


def jaccard(one: str, other: str) -> float:
    sets = [set(pairwise(words)) or {tuple(words)} for words in (one.split(), other.split())]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.skipif(not GSM8K.is_dir(), reason=f"needs GSM8K's train.jsonl in {GSM8K}")
def test_gsm8k_has_hardly_any() -> None:
    rows = read_dataset(DatasetConfig(format="gsm8k", source=str(GSM8K / "train.jsonl"))).rows
    assert len(deduplicated(rows, text=lambda row: row.question)) == 7473
    assert len(without_near_duplicates(rows, 0.8, text=lambda row: row.question)) == 7472
