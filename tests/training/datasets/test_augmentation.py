"""Word problems made of others."""

import random
import re
from dataclasses import replace

import pytest

from deliberate.training.datasets.augmentation import relabel_goal, vary_goal, vary_start
from deliberate.training.tasks import Problem, load_task

TASK = load_task("word_problems")
PROBLEMS = list(TASK.problems("train", 0, 300))


def written(problem: Problem) -> str:
    assert problem.solution is not None
    return problem.solution


def lines(problem: Problem) -> list[str]:
    return written(problem).split("\n")[1:-2]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def followed(problem: Problem) -> bool:
    """Whether the solution is right arithmetic on the numbers that the question tells, in their order."""
    value, used = None, numbers(lines(problem)[0])[:1]
    for line in lines(problem):
        before, sign, operand, _, after = line.split(" ")
        assert value in (None, before)
        assert eval(f"{before} {sign} {operand}") == int(after)
        assert 0 < int(after) <= 500
        used.append(operand)
        value = after
    unused = iter(used)
    assert all(number in unused for number in numbers(problem.question))  # Some are words: half, doubles.
    return value == problem.answer and written(problem).endswith(f"<answer>{value}</answer>")


def test_another_start_and_the_same_events() -> None:
    varied = [(problem, vary_start(problem, random.Random(1))) for problem in PROBLEMS]
    made = [(problem, new) for problem, new in varied if new is not None]
    assert len(made) > 200
    for problem, new in made:
        assert followed(new)
        assert new.id != problem.id
        assert re.sub(r"\d+", "n", new.question) == re.sub(r"\d+", "n", problem.question)
        assert numbers(new.question)[1:] == numbers(problem.question)[1:]
        assert new.split == "train"


def test_the_question_comes_earlier() -> None:
    varied = [(problem, vary_goal(problem, random.Random(1))) for problem in PROBLEMS]
    made = [(problem, new) for problem, new in varied if new is not None]
    assert len(made) > 150
    for problem, new in made:
        assert lines(new) == lines(problem)[: new.difficulty]
        assert 2 <= new.difficulty < problem.difficulty
        sentences = re.split(r"(?<=\.) ", problem.question)
        assert new.question == " ".join([*sentences[: 1 + new.difficulty], sentences[-1]])


def test_what_comes_out_is_never_held_out() -> None:
    """By reading it back: a problem of the wrong split is not made again by its own steps."""
    for problem in PROBLEMS:
        for new in (vary_start(problem, random.Random(2)), vary_goal(problem, random.Random(2))):
            if new is not None:
                assert relabel_goal(new, written(new), random.Random(0)) == new
                assert relabel_goal(replace(new, split="test"), written(new), random.Random(0)) is None


def test_a_right_solution_is_of_its_own_problem() -> None:
    for problem in PROBLEMS:
        assert relabel_goal(problem, written(problem), random.Random(0)) == problem


def test_a_wrong_solution_is_the_right_one_of_another_problem() -> None:
    made = list[Problem]()
    for problem in PROBLEMS:
        start, sign, operand, _, after = lines(problem)[0].split(" ")
        if sign != "+":
            continue
        # It adds one less, and does something else at the end.
        slip = int(after) - 1
        wrong = f"<think>\n{start} + {int(operand) - 1} = {slip}\n{slip} * 3 = {slip * 3}\n</think>\n<answer>7</answer>"
        new = relabel_goal(problem, wrong, random.Random(1))
        if new is not None:
            assert followed(new)
            assert lines(new) == wrong.split("\n")[1:3]
            assert new.answer == str(slip * 3)
            made.append(new)
    assert len(made) > 10


@pytest.mark.parametrize(
    "steps",
    [
        "",
        "4 + 5 = 9",
        "4 + 5 = 10\n10 + 1 = 11",
        "4 + 5 = 9\n8 + 1 = 9",
        "9 / 2 = 4\n4 + 1 = 5",
        "9 / 0 = 0\n0 + 1 = 1",
        "4 - 5 = -1\n4 + 1 = 5",
        "400 * 2 = 800\n800 / 2 = 400",
        "4 + 5 = 9\n9 + 1 = 10\nso it is 10",
    ],
)
def test_steps_that_no_problem_has(steps: str) -> None:
    assert relabel_goal(PROBLEMS[0], f"<think>\n{steps}\n</think>", random.Random(0)) is None


def test_other_texts_are_refused() -> None:
    other = replace(PROBLEMS[0], messages=({"role": "user", "content": "What is 2 + 2?"},))
    with pytest.raises(ValueError, match=r"'What is 2 \+ 2\?' is no word problem: its start cannot be read"):
        vary_start(other, random.Random(0))
