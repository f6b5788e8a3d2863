"""Several tasks as one."""

from collections import Counter

import pytest

from deliberate.training.tasks import UnknownTaskError, load_task

BOTH = "python_functions+agent_json"


def test_a_mixture_streams_all_of_its_tasks_in_equal_shares() -> None:
    problems = list(load_task(BOTH).problems("train", 0, 300))
    kinds = Counter(problem.id.split("-")[0] for problem in problems)
    assert set(kinds) == {"python_functions", "agent_json"}
    assert min(kinds.values()) > 110
    of_one = list(load_task("agent_json").problems("train", 0, kinds["agent_json"]))
    assert [problem for problem in problems if problem.id.startswith("agent_json")] == of_one


def test_it_streams_as_tasks_do() -> None:
    task = load_task(BOTH)
    long = list(task.problems("test", 3, 40))
    assert list(task.problems("test", 3, 10)) == long[:10]
    assert list(task.problems("test", 4, 40)) != long
    assert {problem.split for problem in long} == {"test"}
    assert task.name == BOTH


def test_difficulties_that_only_one_task_has_are_that_tasks() -> None:
    task = load_task(BOTH)
    assert task.difficulties == range(1, 6)
    problems = list(task.problems("train", 0, 30, difficulty=(5,)))
    assert {(problem.id.split("-")[0], problem.difficulty) for problem in problems} == {("python_functions", 5)}
    with pytest.raises(ValueError, match=r"difficulty \(9,\): none of python_functions\+agent_json has it"):
        task.problems("train", 0, 1, difficulty=(9,))


def test_unknown_parts_are_named() -> None:
    with pytest.raises(UnknownTaskError, match=r"'chess'.*agent_json"):
        load_task("agent_json+chess")
