import hashlib
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.training.rewards import VerifierReward
from deliberate.training.tasks import Problem, load_task
from deliberate.training.tasks._word_problem_text import STEPS
from deliberate.training.tasks.word_problems import LARGEST, split_of

TASK = load_task("word_problems")
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def worked(problem: Problem) -> str:
    assert problem.solution is not None
    return problem.solution


def recompute(problem: Problem) -> str:
    """The answer that the worked solution's own arithmetic leads to, line by line."""
    opening, *lines, closing, answer = worked(problem).split("\n")
    assert (opening, closing, answer) == ("<think>", "</think>", f"<answer>{problem.answer}</answer>")
    value = None
    for line in lines:
        match = STEP.fullmatch(line)
        assert match, line
        left, right, result = Fraction(match[1]), Fraction(match[3]), Fraction(match[4])
        assert value is None or left == value
        value = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[match[2]]
        assert value == result
        assert 0 < value <= LARGEST
    return str(value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_reference_solution_recomputes(split: str) -> None:
    for problem in TASK.problems(split, seed=3, limit=1500):  # pyright: ignore[reportArgumentType]
        assert recompute(problem) == problem.answer
        assert worked(problem).count("\n") == problem.difficulty + 2
        assert problem.split == split


@given(
    templates=st.lists(st.integers(0, len(STEPS) - 1), min_size=2, max_size=7),
    numbers=st.lists(st.integers(1, LARGEST), min_size=3, max_size=8),
    others=st.lists(st.integers(1, LARGEST), min_size=3, max_size=8),
)
def test_templates_or_numbers_of_one_split_never_occur_in_the_other(
    templates: list[int], numbers: list[int], others: list[int]
) -> None:
    splits = {split_of(templates, numbers), split_of(templates, others)}
    assert not {"train", "test"} <= splits
    splits = {split_of(templates, numbers), split_of([*templates, 0], numbers)}
    assert not {"train", "test"} <= splits


@settings(max_examples=15, deadline=None)
@given(train_seed=st.integers(), test_seed=st.integers())
def test_no_question_or_number_sequence_is_in_both_splits_whatever_the_seeds(train_seed: int, test_seed: int) -> None:
    def numbers(problem: Problem) -> tuple[str, ...]:
        return tuple(re.findall(r"\d+", worked(problem).split("</think>")[0]))

    train = list(TASK.problems("train", train_seed, limit=60))
    test = list(TASK.problems("test", test_seed, limit=60))
    assert not {p.question for p in train} & {p.question for p in test}
    assert not {p.id for p in train} & {p.id for p in test}
    assert not {numbers(p) for p in train} & {numbers(p) for p in test}


def test_about_half_of_the_operands_have_two_digits() -> None:
    operands = [m[3] for p in TASK.problems("test", 1, 500) for m in STEP.finditer(worked(p))]
    assert 0.4 < sum(len(operand) == 2 for operand in operands) / len(operands) < 0.6


def test_the_bundled_models_stream_of_problems_stays_as_it_is() -> None:
    digest = hashlib.blake2b(digest_size=16)
    for problem in TASK.problems("train", 0, 500):
        fields = (problem.id, problem.question, problem.answer, problem.solution, problem.difficulty, problem.split)
        digest.update(repr(fields).encode())
    assert digest.hexdigest() == "93772926a1f37713d83e04deb2c15124"


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("<think>\n1 + 1 = 2\n</think>\n<answer>{}</answer>", 1.0),
        ("<answer> {} </answer>", 1.0),
        ("<answer>9999</answer> no: <answer>{}</answer>", 1.0),
        ("<answer>{}</answer> no: <answer>9999</answer>", 0.0),
        ("<answer>{}.5</answer>", 0.0),
        ("The answer is {}.", 1.0),
        ("", 0.0),
    ],
)
def test_grading_reads_the_last_answer_and_compares_it_exactly(completion: str, right: float) -> None:
    problem = next(TASK.problems("test", 0, 1))
    with VerifierReward(problem.verifier) as reward:
        assert reward([problem.messages], [completion.format(problem.answer)]) == [right]
