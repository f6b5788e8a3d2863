import random

import pytest

from deliberate.training.tasks import load_task
from deliberate.training.tasks._steps import StepChecker
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict
from deliberate.verifiers.reference_steps import ReferenceSteps, ReferenceStepsVerifier

SOLUTION = "<think>\n3 + 4 = 7\n7 * 2 = 14\n14 - 5 = 9\n</think>\n<answer>9</answer>"


async def judged(text: str, *, finished: bool = True, solution: str = SOLUTION, separator: str = "\n") -> Verdict:
    verifier = ReferenceStepsVerifier.of(ReferenceSteps(solution=solution, step_separator=separator))
    assert verifier.judges is Judges.STEPS
    return (await verifier.verify(Problem(()), [Candidate(text, finished=finished)]))[0]


async def test_the_solution_itself_is_right() -> None:
    verdict = await judged(SOLUTION)
    assert (verdict.score, verdict.passed, verdict.steps) == (1.0, True, (1.0,) * 6)


async def test_sums_and_products_may_be_turned_round_and_blanks_differ() -> None:
    assert (await judged(SOLUTION.replace("3 + 4", "4 +  3").replace("7 * 2", " 2 * 7"))).passed
    turned = await judged(SOLUTION.replace("14 - 5", "5 - 14"))
    assert (turned.passed, turned.steps) == (False, (1.0, 1.0, 1.0, 0.0))


async def test_nothing_is_said_after_the_first_step_that_differs() -> None:
    verdict = await judged(SOLUTION.replace("7 * 2 = 14", "7 * 2 = 15"))
    assert (verdict.score, verdict.passed, verdict.steps) == (0.0, False, (1.0, 1.0, 0.0))
    assert verdict.reason == "step 3 differs from the reference: 7 * 2 = 15"


async def test_steps_that_are_missing_or_too_many_are_wrong() -> None:
    short = await judged("<think>\n3 + 4 = 7")
    assert (short.score, short.steps, short.reason) == (0.0, (1.0, 1.0), "ends after step 2")
    assert (await judged(SOLUTION + "\nSo it is 9.")).steps == (1.0,) * 6 + (0.0,)
    assert (await judged("")).passed is False


@pytest.mark.parametrize("text", ["<think>\n3 + 4 = 7\n7 * 2 = 1", "<think>\n3 + 4 = 7\n"])
async def test_a_beginning_that_agrees_is_right_so_far(text: str) -> None:
    verdict = await judged(text, finished=False)
    assert (verdict.score, verdict.passed, verdict.steps) == (1.0, None, (1.0, 1.0))


async def test_a_beginning_without_a_whole_step_is_undecided() -> None:
    verdict = await judged("<thi", finished=False)
    assert (verdict.score, verdict.status, verdict.steps) == (None, "unavailable", ())


async def test_a_beginning_that_differs_is_wrong() -> None:
    verdict = await judged("<think>\n3 + 4 = 8\n8", finished=False)
    assert (verdict.score, verdict.steps) == (0.0, (1.0, 0.0))


async def test_other_separators() -> None:
    verdict = await judged("a\nb\n\nc", solution="a b\n\nc", separator="\n\n")
    assert (verdict.passed, verdict.steps) == (True, (1.0, 1.0))


async def test_up_to_the_first_error_it_says_what_the_tasks_own_checker_says() -> None:
    task = load_task("word_problems")
    assert isinstance(task, StepChecker)
    for number, problem in enumerate(task.problems("test", 5, 40)):
        wrong = task.corrupted(problem, random.Random(number))
        verdict = await judged("\n".join(wrong.steps), solution=problem.solution or "")
        first_error = wrong.labels.index(False)
        assert verdict.steps == tuple(map(float, wrong.labels[: first_error + 1]))
