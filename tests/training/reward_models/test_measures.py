"""Figures of verifiers, worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from deliberate.training.datasets.rows import RolloutRow, Sample, StepwiseRow
from deliberate.training.reward_models.measures import (
    JudgedAnswers,
    answer_figures,
    first_error,
    first_error_figures,
    within_problem_auc,
)
from deliberate.training.reward_models.measuring import measure_verifier
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict

FIRST = JudgedAnswers((0.9, 0.2, 0.2, 0.1), (False, True, False, True), ("7", "8", "7", "8"))
SECOND = JudgedAnswers((0.8, None, 0.7), (True, False, False), ("1", "2", "2"))
ALIKE = JudgedAnswers((0.3, 0.9), (True, True), ("5", "5"))


def test_answers_are_compared_within_their_problems() -> None:
    # Of the first problem's four pairs the verifier has half of one right; of the second's only one was judged.
    assert within_problem_auc([FIRST, SECOND, ALIKE]) == pytest.approx((0.5 / 4 + 1) / 2)
    assert within_problem_auc([ALIKE]) == 0.5


def test_choices_and_votes() -> None:
    figures = answer_figures([FIRST, SECOND, ALIKE])
    assert figures["pass@1"] == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert figures["best_of_n"] == pytest.approx(2 / 3)
    assert figures["majority"] == pytest.approx(1 / 3), "7 was first of the equally frequent, 2 is wrong"
    assert figures["weighted_vote"] == pytest.approx(2 / 3), "1 weighs more than 2, who has one vote only"
    assert answer_figures([]) == {}


def test_the_first_error_must_be_met_exactly() -> None:
    assert first_error([0.9, 0.4, 0.1]) == 1
    assert first_error([0.9, 0.5]) is None
    figures = first_error_figures([1, 2, None, None, 0], [1, 1, 3, None, None])
    assert figures["accuracy_on_wrong"] == pytest.approx(1 / 3)
    assert figures["accuracy_on_right"] == pytest.approx(1 / 2)
    assert figures["first_error_f1"] == pytest.approx(0.4)
    assert first_error_figures([None], [None]) == {}
    assert first_error_figures([0, 0], [1, None])["first_error_f1"] == 0


class Careless:
    """Doubts every step with an x in it."""

    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        steps = [tuple(0.1 if "x" in step else 0.9 for step in one.text.split("\n")) for one in candidates]
        return [Verdict(min(each), steps=each) for each in steps]


async def test_a_served_verifier_is_measured() -> None:
    row: dict[str, Any] = {"place": "here:1", "prompt": ({"role": "user", "content": "?"},)}
    samples = (Sample("x\nThe answer is 4", 0.0), Sample("a\nThe answer is 5", 1.0), Sample("b\nThe answer is 4", None))
    answered = [RolloutRow(id="a", samples=samples, **row)]
    labelled = [
        StepwiseRow(id="b", steps=("a", "x", "b"), labels=(1.0, 0.0, None), **row),
        StepwiseRow(id="c", steps=("a", "x"), labels=(1.0, 1.0), **row),
        StepwiseRow(id="d", steps=("a", "b"), labels=(1.0, 1.0), **row),
    ]
    figures = await measure_verifier(Careless(), answered, labelled)
    assert figures["auc_within"] == figures["best_of_n"] == figures["weighted_vote"] == 1
    assert figures["majority"] == 0
    assert (figures["accuracy_on_wrong"], figures["accuracy_on_right"]) == (1, 0.5)
