"""AgentJo from PyPI against this server, with a model that breaks its format half of the time."""

from collections.abc import Callable, Generator

import pytest

from deliberate.bench.agentjo import (
    MODEL,
    SUFFIX,
    BreakingModel,
    Figures,
    measure_agent,
    measure_strict_json,
    serving,
)
from deliberate.engines.scripted import ScriptedEngine
from tests.yaml_rules import kept_yaml_rules


@pytest.fixture(autouse=True, scope="module")
def yaml_rules() -> Generator[None]:
    with kept_yaml_rules():
        yield


Measure = Callable[[str, str, int], Figures]


def figures(measure: Measure, suffix: str, tasks: int) -> Figures:
    with serving(ScriptedEngine(BreakingModel(seed=5), context_length=1 << 16)) as url:
        return measure(url, MODEL + suffix, tasks)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("measure", "tasks"), [(measure_strict_json, 200), (measure_agent, 70)])
def test_with_the_verifier_the_first_call_parses(measure: Measure, tasks: int) -> None:
    searched = figures(measure, SUFFIX, tasks)
    assert searched.parses >= 200
    assert searched.first / searched.parses >= 0.99
    assert searched.calls / searched.parses <= 1.01
    assert (searched.empty, searched.crashes, searched.done) == (0, 0, tasks)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("measure", "tasks"), [(measure_strict_json, 100), (measure_agent, 30)])
def test_without_it_agentjo_pays_for_what_the_model_breaks(measure: Measure, tasks: int) -> None:
    plain = figures(measure, "", tasks)
    assert 0.4 < plain.first / plain.parses < 0.7
    assert plain.calls / plain.parses > 1.4
    assert plain.empty > 0
    assert plain.done < tasks
