"""Documents and calls as AgentJo asks for them: what problems say is what AgentJo itself sends, and takes."""

import contextlib
import io
import json
from ast import literal_eval
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agentjo import Agent, Function, strict_json

from deliberate.training.rewards import VerifierReward
from deliberate.training.tasks import Problem, load_task
from deliberate.training.tasks._agent_functions_text import FUNCTIONS
from deliberate.training.tasks._agentjo_prompts import Equipped
from deliberate.verifiers.agentjo.json_template import read_template
from deliberate.verifiers.agentjo.prompts import asked_in

DOCUMENTS = load_task("agent_json")
CALLS = load_task("agent_functions")
CHOICE = "Equipped Function Name"
SUBTASK = "Current Subtask: ```"

both = pytest.mark.parametrize("task", [DOCUMENTS, CALLS], ids=["agent_json", "agent_functions"])


@pytest.fixture(scope="module")
def reward() -> Iterator[VerifierReward]:
    with VerifierReward(column="verifier") as reward:
        yield reward


def judged(reward: VerifierReward, problems: list[Problem], replies: list[str]) -> list[float | None]:
    return reward([p.messages for p in problems], replies, verifier=[p.verifier for p in problems])


def solution(problem: Problem) -> str:
    assert problem.solution is not None
    return problem.solution


def expected(problem: Problem) -> dict[str, Any]:
    return dict(problem.verifier["expected"])


def said(problem: Problem) -> tuple[str, str]:
    system, user = problem.messages
    return system["content"], user["content"]


def quietly(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """AgentJo prints what it could not parse."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = call(*args, **options)
    assert "exception" not in printed.getvalue()
    return result


class Model:
    """Gives replies in order, and keeps what it is sent."""

    def __init__(self, *replies: str) -> None:
        self._replies = iter(replies)
        self.sent: list[tuple[str, str]] = []

    def __call__(self, system_prompt: str, user_prompt: str) -> str:
        self.sent.append((system_prompt, user_prompt))
        return next(self._replies)


@both
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_reference_solution_passes_and_others_fail(reward: VerifierReward, task: Any, split: str) -> None:
    problems = list(task.problems(split, seed=3, limit=200))
    assert judged(reward, problems, list(map(solution, problems))) == [1.0] * len(problems)
    cut = [solution(problem)[:-6] for problem in problems]
    plain = [f"It is {expected(problem)}." for problem in problems]
    for replies in (cut, [*plain[1:], plain[0]], ["{}"] * len(problems)):
        scores = judged(reward, problems, replies)
        assert sum(score == 1.0 for score in scores) < 0.06 * len(scores)


def test_a_document_with_another_value_fails_whatever_its_form(reward: VerifierReward) -> None:
    problems = list(DOCUMENTS.problems("train", seed=1, limit=60))
    others = [{key: _another(value) for key, value in expected(problem).items()} for problem in problems]
    assert judged(reward, problems, [json.dumps(other) for other in others]) == [0.0] * len(problems)
    # Python's quotes, and keys without their marks, are as good.
    assert judged(reward, problems, [str(expected(problem)) for problem in problems]) == [1.0] * len(problems)


def _another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}s"
        case _:
            return value[::-1]


def test_documents_are_asked_for_as_strict_json_does_and_it_reads_the_solutions() -> None:
    for problem in DOCUMENTS.problems("test", seed=2, limit=60):
        system, user = said(problem)
        asked = asked_in(problem.messages)
        assert asked is not None
        fields = dict(read_template(asked.template).fields)
        model = Model(solution(problem))
        document = quietly(strict_json, system.partition("\nOutput in the")[0], user, fields, llm=model)
        assert model.sent == [(system, user)]
        assert document == expected(problem)
        assert list(document) == list(fields)
        assert len(fields) == problem.difficulty


def agent(problem: Problem, model: Model) -> Agent:
    """AgentJo's agent with the functions that the problem tells of."""
    _, user = said(problem)
    name = user.removeprefix("You are an agent named ").partition(" ")[0]
    purpose = user.partition("description: ```")[2].partition("```")[0]
    options = {"llm": model, "llm_parser": strict_json, "default_to_llm": False, "verbose": False}
    agent = Agent(name, purpose, **options)
    agent.assign_functions(sorted(map(_function, equipped(user)), key=lambda f: user.index(f.fn_description)))
    return agent


def equipped(user: str) -> list[Equipped]:
    """The functions that a prompt tells of, within a Python list or not."""
    functions = [request.function for request in FUNCTIONS]
    return [f for f in functions if any(f"Description: {f.description}{end}Input" in user for end in ("\n", "\\n"))]


def _function(known: Equipped) -> Function:
    return Function(
        fn_name=known.name,
        fn_description=known.description,
        output_format={"output_1": known.returns},
        external_fn=lambda **_: 1 if known.returns == "int" else "Done",
    )


def task_of(problem: Problem) -> str:
    return said(problem)[1].partition("Assigned Task:```\n")[2].partition("\n```")[0]


def test_choices_of_functions_are_asked_for_as_agents_do_and_they_read_the_solutions() -> None:
    problems = [p for p in CALLS.problems("test", seed=2, limit=80) if CHOICE in expected(p)]
    first = [problem for problem in problems if expected(problem)[CHOICE] != "end_task"]
    last = [problem for problem in problems if problem not in first]
    assert len(first) > 20
    assert len(last) > 8
    for problem in problems:
        model = Model(solution(problem), "{", "{", "{")
        asking = agent(problem, model)
        asking.assign_task(task_of(problem))
        asking.subtasks_completed = literal_eval(said(problem)[1].partition("Completed: ```")[2].partition("```")[0])
        with contextlib.redirect_stdout(io.StringIO()):  # It asks for the inputs too, and does not get them.
            _, name, _ = asking.get_next_subtask()
        assert model.sent[0] == said(problem)
        assert name == expected(problem)[CHOICE]


def test_inputs_of_functions_are_asked_for_as_agents_do_and_they_read_the_solutions() -> None:
    problems = [p for p in CALLS.problems("test", seed=4, limit=60) if SUBTASK in said(p)[1]]
    assert len(problems) > 15
    for problem in problems:
        (function,) = equipped(said(problem)[1])
        chosen = {"Observation": "-", "Thoughts": "-", "Current Subtask": task_of(problem), CHOICE: function.name}
        choice = json.dumps({f"###{key}###": value for key, value in chosen.items()})
        model = Model(choice, solution(problem))
        asking = agent(problem, model)
        asking.assign_task(task_of(problem))
        assert quietly(asking.get_next_subtask) == (task_of(problem), function.name, expected(problem))
        assert model.sent[1] == said(problem)
        assert len(expected(problem)) == problem.difficulty


def test_prompts_are_short_enough_for_the_bundled_models_context() -> None:
    for task, longest in ((DOCUMENTS, 1_100), (CALLS, 2_300)):
        assert max(sum(map(len, said(problem))) for problem in task.problems("train", 0, 300)) < longest


def test_thoughts_do_not_count(reward: VerifierReward) -> None:
    problem = next(p for p in CALLS.problems("train", 0) if CHOICE in expected(p))
    reply = json.loads(solution(problem))
    reply |= {"###Observation###": "Else", "###Thoughts###": "What?", "###Current Subtask###": "It"}
    other = reply | {f"###{CHOICE}###": "sing"}
    assert judged(reward, [problem] * 2, [json.dumps(reply), json.dumps(other)]) == [1.0, 0.0]
