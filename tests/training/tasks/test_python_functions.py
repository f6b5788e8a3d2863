"""Functions with tests, judged as they are in training and evaluation: by programs in boxes."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.evaluation import Evaluation, evaluate
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.search.strategies.majority_vote import MajorityVote
from deliberate.training.rewards import VerifierReward
from deliberate.training.tasks import Problem, Spec, as_question, load_task
from deliberate.training.tasks._python_composition import Composition, Step
from deliberate.training.tasks._python_operations import OPERATIONS, VAGUE
from deliberate.training.tasks.python_functions import GIVEN, HIDDEN
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

TASK = load_task("python_functions")
BY_NAME = {operation.name: operation for operation in OPERATIONS}
STEPS = [Step(operation, constant) for operation in OPERATIONS for constant in operation.constants or (None,)]
BY_CODE = {step.written(step.operation.code): step for step in STEPS}


@pytest.fixture(scope="module")
def reward() -> Iterator[VerifierReward]:
    with VerifierReward(column="verifier") as reward:
        yield reward


def judged(
    reward: VerifierReward, problems: list[Problem], replies: list[str], verifiers: list[Spec] | None = None
) -> list[float | None]:
    """What each problem's verifier says of the reply to it, or another."""
    specs = verifiers or [problem.verifier for problem in problems]
    return reward([problem.messages for problem in problems], replies, verifier=specs)


def solution(problem: Problem) -> str:
    assert problem.solution is not None
    return problem.solution


def composition(problem: Problem) -> Composition:
    """Read back from the solution, line by line."""
    steps = list[Step]()
    *_, source = solution(problem).partition("```python\n")
    for line in source.split("\n")[1:-1]:
        code = re.fullmatch(r" +(?:\w+ =|return) (.*)", line)
        assert code, line
        steps.append(BY_CODE[code[1]])
    return Composition(tuple(steps))


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_reference_solution_passes_and_others_fail_in_the_sandbox(reward: VerifierReward, split: str) -> None:
    problems = list(TASK.problems(split, seed=5, limit=100))  # pyright: ignore[reportArgumentType]
    assert judged(reward, problems, list(map(solution, problems))) == [1.0] * len(problems)
    hints = [problem.hints["code"] for problem in problems]
    assert judged(reward, problems, list(map(solution, problems)), hints) == [1.0] * len(problems)
    # The solution of the next problem, under the right name: mostly wrong.
    others = [composition(other) for _, other in pairwise(problems)]
    names = [problem.verifier["entry_point"] for problem in problems]
    replies = [f"```python\n{other.source(name)}\n```" for name, other in zip(names, others, strict=False)]
    scores = judged(reward, problems[:-1], replies)
    assert scores == [float(_passes(other, problem)) for problem, other in zip(problems, others, strict=False)]
    assert sum(score == 0.0 for score in scores) > 0.9 * len(scores)


def _passes(function: Composition, problem: Problem) -> bool:
    """Where both take the same kind of value; else it fails, or could."""
    if function.steps[0].operation.takes != composition(problem).steps[0].operation.takes:
        return False
    return all(function(test["input"][0]) == test["expected"] for test in problem.verifier["tests"])


def test_a_function_that_differs_in_one_operation_fails_a_hidden_test(reward: VerifierReward) -> None:
    problems, mutants = list[Problem](), list[str]()
    for problem in TASK.problems("test", seed=2, limit=12):
        for mutant in composition(problem).mutants():
            problems.append(problem)
            mutants.append(f"```python\n{mutant.source(problem.verifier['entry_point'])}\n```")
    assert len(mutants) > 60
    hidden: list[Spec] = [{**problem.verifier, "tests": problem.verifier["tests"][GIVEN:]} for problem in problems]
    assert judged(reward, problems, mutants, hidden) == [0.0] * len(mutants)


def test_examples_tell_which_reading_of_a_vague_order_is_meant(reward: VerifierReward) -> None:
    problems, misread = list[Problem](), list[str]()
    for problem in TASK.problems("train", seed=4, limit=150):
        function = composition(problem)
        vague = [_is_vague(problem, step) for step in function.steps]
        for other in function.misreadings(vague):
            problems.append(problem)
            misread.append(f"```python\n{other.source(problem.verifier['entry_point'])}\n```")
    assert len(misread) > 60
    scores = judged(reward, problems, misread, [problem.hints["code"] for problem in problems])
    assert all(score is not None and score < 1 for score in scores)


def _is_vague(problem: Problem, step: Step) -> bool:
    order = VAGUE.get(step.operation.family)
    said = problem.question.lower()
    clear = any(step.written(text).lower() in said for text in step.operation.texts)
    return order is not None and step.written(order).lower() in said and not clear


def test_questions_show_the_given_tests_and_no_hidden_one() -> None:
    for problem in TASK.problems("train", seed=1, limit=100):
        name, tests = problem.verifier["entry_point"], problem.verifier["tests"]
        lines = [f"{name}({test['input'][0]!r}) == {test['expected']!r}" for test in tests]
        shown = problem.question.split("\n")[-GIVEN:]
        assert (lines[:GIVEN], len(lines)) == (shown, GIVEN + HIDDEN)
        assert not any(line in problem.question for line in lines[GIVEN:])
        assert problem.hints["code"]["tests"] == tests[:GIVEN]
        hidden = [test["input"] for test in tests[GIVEN:]]
        assert not any(value in hidden for value in problem.hints["agreement"]["inputs"])


def test_solutions_plan_each_statement() -> None:
    for problem in TASK.problems("test", seed=1, limit=60):
        plan, program = solution(problem).removeprefix("<think>\n").split("\n</think>\n")
        assert len(plan.split("\n")) == problem.difficulty
        assert program.count("\n") == problem.difficulty + 2


def test_orders_and_operations_are_all_used() -> None:
    used = {step.operation.name for p in TASK.problems("train", 0, 1200) for step in composition(p).steps}
    assert used == set(BY_NAME)
    assert set(VAGUE) <= {operation.family for operation in OPERATIONS}
    assert (len(BY_NAME), len(BY_CODE)) == (len(OPERATIONS), len(STEPS))


@given(one=st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), data=st.data())
def test_operations_or_constants_of_one_split_never_occur_in_the_other(one: list[Step], data: st.DataObject) -> None:
    varied = [Step(s.operation, data.draw(st.sampled_from(s.operation.constants or (None,)))) for s in one]
    # The same constants with other operations; where there are none, operations alone decide.
    longer = [*one, Step(BY_NAME["sum"])] if any(step.constant for step in one) else one
    for other in (varied, longer):
        assert not {"train", "test"} <= {Composition(tuple(one)).split, Composition(tuple(other)).split}


@pytest.mark.parametrize(
    ("names", "value", "result"),
    [
        (("above", "times", "sum"), [1, 2, 3, 4], 14),
        (("split", "w_upper", "dashed"), "to be", "TO-BE"),
        (("digits", "reverse"), -120, [0, 2, 1]),
    ],
)
def test_operations_do_what_they_say(names: tuple[str, ...], value: Any, result: Any) -> None:
    """With the least of their constants."""
    operations = [BY_NAME[name] for name in names]
    assert Composition(tuple(Step(o, min(o.constants, default=None)) for o in operations))(value) == result


async def test_strategies_use_the_given_tests_and_compare_behaviour() -> None:
    """Of four programs two agree on the wrong reading, and the examples tell."""
    problem = next(p for p in TASK.problems("test", 9) if any(_is_vague(p, s) for s in composition(p).steps))
    function = composition(problem)
    vague = [_is_vague(problem, step) for step in function.steps]
    other = next(function.misreadings(vague))
    name = problem.verifier["entry_point"]
    wrong = [f"```python\n{source}\n```" for source in (other.source(name), other.source(name) + "  # Sure.")]
    unrelated = f"```python\ndef {name}(x):\n    return None\n```"
    replies = [wrong[0], solution(problem), unrelated, wrong[1]]
    sandbox, workers = Sandbox(), WorkerPool()

    async def run(strategy: Any, hint: str | None) -> Evaluation:
        engines = {"policy": ScriptedEngine(replies)}
        lent = Resources(workers, engines, policy="policy", sandbox=sandbox)
        return await evaluate(strategy, [as_question(problem)], lent, Sampling(seed=0), hint=hint)

    tested = (await run(BestOfN(n=4, stop_at_pass=False), "code")).outcomes[0]
    agreed = (await run(BestOfN(n=4, stop_at_pass=False), "agreement")).outcomes[0]
    first = (await run(MajorityVote(n=1), None)).outcomes[0]
    await sandbox.close()
    workers.close()
    assert (tested.right, agreed.right, first.right) == (True, False, False)
    assert tested.candidates_right == agreed.candidates_right == (False, True, False, False)
    assert tested.scores[1] == 1.0
    assert agreed.scores == (0.5, 0.25, 0.0, 0.5) or agreed.scores == (0.5, 0.25, 0.25, 0.5)
