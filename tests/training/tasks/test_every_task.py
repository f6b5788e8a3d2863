"""What holds of every task, by whatever name it is found."""

import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.training.datasets.generated import problem_rows
from deliberate.training.tasks import Problem, Task, UnknownTaskError, as_question, load_task, task_names

every_task = pytest.mark.parametrize("task", [pytest.param(load_task(name), id=name) for name in task_names()])


def test_tasks_are_found_by_their_modules_names() -> None:
    names = ["agent_functions", "agent_json", "python_functions", "three_js", "word_problems"]
    assert task_names() == names
    assert [load_task(name).name for name in names] == names
    with pytest.raises(UnknownTaskError, match=r"'chess'.*agent_json.*word_problems"):
        load_task("chess")


@every_task
def test_the_same_arguments_give_the_same_problems_and_a_limit_only_cuts_the_stream(task: Task) -> None:
    long = list(task.problems("train", seed=7, limit=30))
    assert list(task.problems("train", seed=7, limit=10)) == long[:10]
    assert list(task.problems("train", seed=8, limit=30)) != long
    assert list(islice(task.problems("train", seed=7), 30)) == long


@every_task
@settings(max_examples=5, deadline=None)
@given(train_seed=st.integers(), test_seed=st.integers())
def test_no_problem_is_in_both_splits_whatever_the_seeds(task: Task, train_seed: int, test_seed: int) -> None:
    train, test = list(task.problems("train", train_seed, 40)), list(task.problems("test", test_seed, 40))
    assert {problem.split for problem in train} == {"train"}
    assert {problem.split for problem in test} == {"test"}
    assert not {problem.id for problem in train} & {problem.id for problem in test}
    assert not {str(problem.messages) for problem in train} & {str(problem.messages) for problem in test}


@every_task
def test_difficulty_may_be_chosen(task: Task) -> None:
    assert {p.difficulty for p in task.problems("test", 0, 60)} == set(task.difficulties)
    low, high = task.difficulties[0], task.difficulties[-1]
    assert {p.difficulty for p in task.problems("train", 0, 20, difficulty=(low, high))} == {low, high}


@every_task
def test_what_a_task_lacks_is_refused_with_the_alternatives(task: Task) -> None:
    low, high = task.difficulties[0], task.difficulties[-1]
    for difficulty in ((), (0,), (low, high + 1)):
        with pytest.raises(ValueError, match=rf"{task.name} has {low} to {high} \w+"):
            task.problems("test", 0, 1, difficulty=difficulty)
    with pytest.raises(ValueError, match=r"'dev'.*train, test"):
        task.problems("dev", 0, 1)  # pyright: ignore[reportArgumentType]


@every_task
def test_equal_ids_are_equal_problems(task: Task) -> None:
    by_id = dict[str, Problem]()
    for problem in task.problems("train", 3, 300):
        known = by_id.setdefault(problem.id, problem)
        assert known.messages == problem.messages
        assert problem.id.startswith(f"{task.name}-")
    assert len(by_id) > 200


@every_task
def test_rows_and_questions_say_the_same(task: Task) -> None:
    problems = list(task.problems("train", 1, 20))
    rows = problem_rows(problems)
    for problem, row in zip(problems, rows, strict=True):
        question = as_question(problem)
        assert (row.id, row.prompt, row.tools) == (question.id, question.messages, question.tools)
        assert (row.answer, row.solution, row.verifier) == (problem.answer, problem.solution, problem.verifier)
        assert row.question == problem.question != ""
        assert question.grader.kind == problem.verifier["kind"]
        assert {name: hint.kind for name, hint in question.hints.items()} == {
            name: spec["kind"] for name, spec in problem.hints.items()
        }


def test_the_documentation_tells_the_truth() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text(encoding="utf-8")
    use, definition = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(use, {})
    names = dict[str, Any]()
    exec(definition, names)
    sums: Task = names["TASK"]
    (problem,) = sums.problems("test", 0, 1)
    assert eval(problem.question.removeprefix("What is ").removesuffix("?")) == int(problem.answer or "")
    assert all(f"`{name}`" in page for name in task_names())
