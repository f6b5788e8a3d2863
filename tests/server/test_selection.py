"""Which strategy runs, and how it is named in the reply."""

from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.registry import parse_strategy
from deliberate.server.selection import Selector, read_strategy, write_strategy
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings
from deliberate.verifiers.registry import parse_verifier

BARE = ServedModel("tiny", ScriptedEngine(["x"]))
JUDGED = ServedModel("tiny", ScriptedEngine(["x"]), default_verifier=parse_verifier("calculator"))


def chosen(selector: Selector, **choices: Any) -> tuple[str, str]:
    everything = {"body": None, "header": None, "suffix": None, "effort": None} | choices
    strategy, source = selector.choose(**everything)
    return write_strategy(strategy), source


def test_order() -> None:
    selector = Selector(Settings(strategy="vote-3"), JUDGED)
    assert chosen(selector) == ("vote-3", "strategy")
    assert chosen(selector, effort="high") == ("best-of-16", "reasoning_effort")
    assert chosen(selector, effort="none") == ("none", "reasoning_effort")
    assert chosen(selector, effort="high", suffix="vote-4") == ("vote-4", "model")
    assert chosen(selector, header="vote-5", effort="low") == ("vote-5", "X-Deliberate-Strategy")
    assert chosen(selector, body=parse_strategy("vote-5"), header="vote-5", suffix="vote-5") == ("vote-5", "strategy")


@pytest.mark.parametrize(
    "choices",
    [
        {"body": parse_strategy("vote-4"), "header": "vote-5"},
        {"header": "vote-5", "suffix": "vote-4"},
        {"body": parse_strategy("vote-4"), "header": "vote-4", "suffix": "vote-5"},
    ],
)
def test_conflicts_name_both(choices: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"vote-[45].*vote-[45]"):
        chosen(Selector(Settings(), BARE), **choices)


def test_effort_without_a_verifier_is_a_vote_of_the_same_width() -> None:
    assert chosen(Selector(Settings(), BARE), effort="high") == ("vote-16", "reasoning_effort")
    assert chosen(Selector(Settings(), BARE), effort="max") == ("vote-64", "reasoning_effort")


def test_effort_that_is_not_configured() -> None:
    selector = Selector(Settings(reasoning_effort={"low": "vote-2"}), BARE)
    assert chosen(selector, effort="low") == ("vote-2", "reasoning_effort")
    with pytest.raises(InvalidRequest, match="known: low"):
        chosen(selector, effort="high")


@pytest.mark.parametrize(
    ("config", "written"),
    [
        ("none", "none"),
        ("best-of-16", "best-of-16"),
        ("best_of_n-16@calculator", "best-of-16@calculator"),
        ({"kind": "majority_vote", "n": 8}, "vote-8"),
        (
            {"kind": "adaptive_vote", "n": 8, "threshold": 0.9},
            '{"kind":"adaptive_vote","n":8,"min_temperature":0.6,"threshold":0.9,"min_wave":1}',
        ),
    ],
)
def test_written_strategies_read_back(config: str | dict[str, Any], written: str) -> None:
    strategy = parse_strategy(config)
    assert write_strategy(strategy) == written
    assert read_strategy(written, "header") == strategy


def test_long_configs_do_not_break_the_header() -> None:
    schema = {"enum": ["x" * 3000]}
    strategy = parse_strategy({"kind": "best_of_n", "n": 4, "verifier": {"kind": "json", "schema": schema}})
    assert write_strategy(strategy) == "best-of-4@json"
