"""The exact labels of word problems, and solutions with one error."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.errors import InvalidRequest
from deliberate.training.labelling.exact import step_checker
from deliberate.training.labelling.labels import first_error
from deliberate.training.tasks import Problem, Task, load_task

TASK = load_task("word_problems")
CHECKER = step_checker(TASK)
PROBLEM = replace(
    next(iter(TASK.problems("test", 0, 1))),
    answer="34",
    solution="<think>\n17 * 2 = 34\n34 + 8 = 42\n42 - 8 = 34\n</think>\n<answer>34</answer>",
)


def labels(*steps: str) -> tuple[bool | None, ...]:
    return CHECKER.step_labels(PROBLEM, steps)


def lines() -> list[str]:
    assert PROBLEM.solution is not None
    return PROBLEM.solution.split("\n")


def test_the_reference_and_its_turned_sums_and_products_are_right() -> None:
    assert labels(*lines()) == (True,) * 6
    assert labels("<think>", "2 * 17 = 34", "8 + 34 = 42", "42 - 8 = 34") == (True,) * 4


@pytest.mark.parametrize(
    ("place", "step"),
    [
        (0, "17 * 2 = 34"),
        (1, "17 * 2 = 35"),
        (1, "17 + 17 = 34"),
        (1, "17 * 3 = 51"),
        (2, "34 + 8 = 43"),
        (2, "42 - 8 = 34"),
        (2, "so 34 + 8 = 42"),
        (3, "8 - 42 = 34"),
        (3, "</think>"),
        (4, "34 + 0 = 34"),
        (4, "<answer>34</answer>"),
        (5, "<answer>42</answer>"),
        (5, "34"),
    ],
)
def test_anything_else_is_the_first_error_and_what_follows_is_right_again(place: int, step: str) -> None:
    steps = lines()
    steps[place] = step
    rest = [True] * (5 - place)
    if place == 3:
        rest[0] = False  # `</think>` says what the last line said.
    assert labels(*steps) == (True,) * place + (False, *rest)


def test_after_an_error_a_step_is_right_where_it_comes_to_what_is_true() -> None:
    slipped, close, answer = "17 * 2 = 35", "</think>", "<answer>34</answer>"
    made_good = labels("<think>", slipped, "35 + 8 = 42", "42 - 8 = 34", close, answer)
    assert made_good == (True, False, True, True, True, True)
    went_on = labels("<think>", slipped, "35 + 8 = 43", "43 - 8 = 35", close, "<answer>35</answer>")
    assert went_on == (True, False, False, False, False, False), "`</think>` says nothing else than the line before it"
    at_last = labels("<think>", slipped, "35 + 8 = 43", "43 - 8 = 34", close, answer)
    assert at_last == (True, False, False, True, True, True)
    said_more = labels("<think>", slipped, "so it is 42", "42 - 8 = 34", close, answer, answer)
    assert said_more == (True, False, False, True, True, True, False)


def test_what_comes_after_the_answer_is_an_error() -> None:
    assert labels(*lines(), "34") == (True,) * 6 + (False,)


def test_a_solution_that_was_cut_has_no_error() -> None:
    assert labels("<think>", "17 * 2 = 34") == (True, True)


def problem(seed: int) -> Problem:
    return next(iter(TASK.problems("train", seed, 1)))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_corrupted_solution_is_right_up_to_one_error(seed: int, corruption: int) -> None:
    made = problem(seed)
    found = CHECKER.corrupted(made, random.Random(corruption))
    error = first_error(found.labels)
    assert found.labels == CHECKER.step_labels(made, found.steps)
    assert error is not None and all(found.labels[:error])
    assert found.steps[0] == "<think>" and found.steps[-2] == "</think>"
    assert found == CHECKER.corrupted(made, random.Random(corruption))


def test_errors_are_of_all_kinds_and_everywhere() -> None:
    """What goes on after an error does so without a second one: each line computes with the count before it."""
    errors, unlike = set[int](), 0
    for made in TASK.problems("train", 0, 300):
        found = CHECKER.corrupted(made, random.Random(made.id))
        error = first_error(found.labels)
        assert error is not None and made.solution is not None
        errors.add(error)
        unlike += len(found.steps) != len(made.solution.split("\n"))
        lines = [line.split() for line in found.steps[1:-2]]
        assert all(line[0] == before[-1] for before, line in pairwise(lines[max(0, error - 1) :]))
    assert errors >= set(range(1, 8))
    assert 30 < unlike < 200


def test_a_task_that_checks_no_steps_is_refused() -> None:
    class Other:
        name = "other"

    other: Task = Other()  # type: ignore[assignment]
    with pytest.raises(InvalidRequest, match="'other' cannot check steps; label them by monte_carlo"):
        step_checker(other)
