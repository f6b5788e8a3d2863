"""Prompts for three.js pages, and what their verifiers say of pages in a real browser."""

from collections.abc import Iterator

import pytest

from deliberate.training.rewards import VerifierReward
from deliberate.training.tasks import Problem, load_task
from deliberate.verifiers.browser.scores import PARTS
from deliberate.verifiers.ensemble import Ensemble
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.render import Render
from deliberate.verifiers.workers import WorkerPool
from tests.verifiers.browser import pages

TASK = load_task("three_js")
PROBLEMS = list(TASK.problems("train", 0, 200))


def rendering(problem: Problem) -> Render:
    """The part of the problem's verifier that looks at the page."""
    verifier = parse_verifier(problem.verifier)
    assert isinstance(verifier, Ensemble)
    (render,) = [member for member in verifier.members if isinstance(member, Render)]
    return render


@pytest.fixture(scope="module")
def reward() -> Iterator[VerifierReward]:
    with VerifierReward(column="verifier") as reward:
        yield reward


def test_prompts_say_what_is_graded() -> None:
    for problem in PROBLEMS:
        weights = rendering(problem).parts.weights
        answers = any(word in problem.question for word in ("mouse", "wheel", "keys", "Dragging"))
        assert ("interaction" in weights) == answers
        assert ("animation" in weights) == (problem.question.count("stands still") < problem.difficulty)
        assert set(rendering(problem).required) <= set(weights) <= set(PARTS)
        assert problem.question.count(" that ") == problem.difficulty
        assert problem.solution is None


def test_a_page_that_does_what_is_asked_gets_more_than_none(reward: VerifierReward) -> None:
    wanted = {"animation", "interaction"}
    problem = next(p for p in PROBLEMS if wanted <= set(rendering(p).required))
    replies = [
        f"<think>A scene, a light, and controls.</think>\n{pages.fenced(pages.GOOD)}",
        "<think>No idea.</think>\nI cannot draw.",
    ]
    good, none = reward([problem.messages] * 2, replies, verifier=[problem.verifier] * 2)
    assert good is not None
    assert none is not None
    assert good > 0.75 > 0.4 > none


def test_without_a_browser_nothing_is_paid_for_the_rest() -> None:
    workers = WorkerPool()
    with VerifierReward(column="verifier", resources=Resources(workers, {})) as reward:
        problem, page = PROBLEMS[0], pages.fenced(pages.GOOD)
        assert reward([problem.messages], [f"<think>So.</think>\n{page}"], verifier=[problem.verifier]) == [None]
    workers.close()
