"""AgentJo on held-out tasks, with a model that knows them by heart."""

from collections.abc import Generator, Mapping

import pytest

from deliberate.bench.agent_tasks import measure_calls, measure_documents
from deliberate.bench.agentjo import MODEL, SUFFIX, serving
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.training.tasks import load_task
from deliberate.training.tasks._agentjo_prompts import END, Turn, choice, inputs
from deliberate.training.tasks.agent_functions import Call, calls, chosen
from deliberate.training.tasks.agent_json import document
from tests.yaml_rules import kept_yaml_rules


@pytest.fixture(autouse=True, scope="module")
def yaml_rules() -> Generator[None]:
    with kept_yaml_rules():
        yield


class Knowing:
    """The right reply to each prompt it knows; every other reply is broken where it `slips`."""

    def __init__(self, replies: Mapping[str, str], *, slips: bool = False) -> None:
        self._replies = replies
        self._slips = slips
        self.unknown = list[str]()

    def __call__(self, prompt: str, number: int) -> Reply:
        found = next((reply for user, reply in self._replies.items() if user in prompt), None)
        if found is None:
            self.unknown.append(prompt)
        return Reply("No." if found is None or (self._slips and number % 2) else found)


def documents(tasks: int) -> dict[str, str]:
    problems = load_task("agent_json").problems("test", 0, tasks)
    return {problem.messages[-1]["content"]: problem.solution or "" for problem in problems}


def conversations(call: Call) -> Generator[tuple[str, str]]:
    """All that an agent says on the way, by the user's messages, and the right replies."""
    functions, function = [request.function for request in call.equipped], call.request.function
    done = {call.spoken: {"output_1": 7 if function.returns == "int" else "Done"}}
    before, after = (Turn("Helper", "Does what the user asks", call.task, made) for made in ({}, done))
    yield choice(before, functions)[-1]["content"], document(chosen(function.name, call.task))
    yield inputs(before, call.task, function)[-1]["content"], document(call.arguments)
    yield choice(after, functions)[-1]["content"], document(chosen(END.name, call.task))


def test_documents_are_asked_for_as_in_training() -> None:
    model = Knowing(documents(12))
    with serving(ScriptedEngine(model, context_length=1 << 16)) as url:
        figures = measure_documents(url, MODEL, 12, 0)
    assert (figures.done, figures.first, figures.parses, figures.calls) == (12, 12, 12, 12)
    assert not model.unknown


def test_agents_say_what_they_say_in_training() -> None:
    model = Knowing({user: reply for call in calls("test", 0, 12) for user, reply in conversations(call)})
    with serving(ScriptedEngine(model, context_length=1 << 16)) as url:
        figures = measure_calls(url, MODEL, 12, 0)
    assert not model.unknown
    assert (figures.done, figures.crashes, figures.first, figures.parses, figures.calls) == (12, 0, 36, 36, 36)


def test_a_search_finds_the_replies_that_parse() -> None:
    with serving(ScriptedEngine(Knowing(documents(12), slips=True), context_length=1 << 16)) as url:
        plain = measure_documents(url, MODEL, 12, 0)
        searched = measure_documents(url, MODEL + SUFFIX, 12, 0)
    assert plain.first < 12
    assert (searched.done, searched.first, searched.calls) == (12, 12, 12)
