"""Mixtures by weight that begin anywhere."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.training.datasets import BadData, Dataset, PreferenceRow, ProblemRow
from deliberate.training.datasets.generated import problem_rows
from deliberate.training.datasets.mixing import Mixture, Part, floor_sum, mixture_of
from deliberate.training.rewards import VerifierReward
from deliberate.training.tasks import load_task

A, B, C = ([f"{name}{number}" for number in range(size)] for name, size in (("a", 3), ("b", 50), ("c", 1000)))


def first(mixture: Mixture[str], rows: int, position: int = 0) -> list[str]:
    return list(islice(mixture.from_position(position), rows))


def mixed(seed: int = 0) -> Mixture[str]:
    return Mixture([Part(A, 0.5), Part(B, 1.5), Part(C, 8.0)], seed)


def test_every_stretch_has_its_shares() -> None:
    rows = first(mixed(), 20_000)
    for start in range(0, 19_500, 700):
        count = Counter(row[0] for row in rows[start : start + 500])
        for name, share in {"a": 0.05, "b": 0.15, "c": 0.8}.items():
            assert abs(count[name] - 500 * share) <= 3
    assert mixed().shares(20_000) == [Counter(row[0] for row in rows)[name] for name in "abc"]


@given(position=st.integers(0, 3000), seed=st.integers(0, 9))
def test_it_goes_on_from_any_position(position: int, seed: int) -> None:
    mixture = mixed(seed)
    assert first(mixture, 60, position) == first(mixture, position + 60)[position:]


def test_a_far_position_is_reached_at_once() -> None:
    there = mixed().from_position(10**15)
    assert len({next(there) for _ in range(100)}) > 50
    assert sum(mixed().shares(10**15)) == 10**15


def test_each_epoch_has_every_row_once_in_another_order() -> None:
    epochs = [first(Mixture([Part(B)], 1), 50, 50 * epoch) for epoch in range(3)]
    assert all(sorted(epoch) == sorted(B) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


def test_seeds_decide_the_order() -> None:
    assert first(mixed(1), 200) == first(mixed(1), 200)
    assert first(mixed(1), 200) != first(mixed(2), 200)


def test_datasets_are_mixed_by_their_configured_weights(read: Callable[..., Dataset]) -> None:
    datasets = [
        read("trl", {"prompt": "1"}, {"prompt": "2"}, file="a.jsonl", weight=3),
        read("gsm8k", {"question": "3", "answer": "#### 3"}, file="b.jsonl"),
    ]
    rows = islice(mixture_of(datasets, ProblemRow, seed=0).from_position(0), 400)
    count = Counter(row.question for row in rows)
    assert abs(count["3"] - 100) <= 3
    assert abs(count["1"] - count["2"]) <= 1
    with pytest.raises(BadData, match=r"this stage needs a PreferenceRow"):
        mixture_of(datasets, PreferenceRow, seed=0)


def test_a_tasks_own_problems_are_rows() -> None:
    problems = list(load_task("word_problems").problems("train", 0, 20))
    rows = problem_rows(problems)
    assert [(row.question, row.solution, row.answer) for row in rows] == [
        (problem.question, problem.solution, problem.answer) for problem in problems
    ]
    with VerifierReward("reference", fill={"answer": "gold"}) as reward:
        gold = [problem.answer for problem in problems]
        assert reward([row.prompt for row in rows], [row.solution or "" for row in rows], gold=gold) == [1.0] * 20


@pytest.mark.parametrize("parts", [[], [Part(A[:0])], [Part(A, 0)], [Part(A), Part(B, -1)]])
def test_parts_without_rows_or_weight_are_refused(parts: Sequence[Part[str]]) -> None:
    with pytest.raises(ValueError, match=r"a mixture needs parts, each with rows and a weight above 0"):
        Mixture(parts, 0)


@given(n=st.integers(0, 60), m=st.integers(1, 99), a=st.integers(0, 999), b=st.integers(0, 999))
def test_sums_of_floors(n: int, m: int, a: int, b: int) -> None:
    assert floor_sum(n, m, a, b) == sum((a * i + b) // m for i in range(n))
