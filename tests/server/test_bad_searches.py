"""Searches that cannot run: each a 400 that names the field, before any token is drawn."""

from typing import Any

import pytest

from deliberate.engines.scripted import ScriptedEngine

from .support import Live, live


@pytest.fixture(scope="module")
def server() -> Any:
    with live(max_candidates=64) as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"strategy": {"kind": "beam_search", "width": 0}}, "strategy", "width"),
        ({"strategy": "beam-0x4"}, "strategy", "width"),
        ({"strategy": "beam-4x4x4"}, "strategy", "beam-NxN"),
        ({"strategy": {"kind": "beam_search", "lookahead": 17}}, "strategy", "lookahead"),
        ({"strategy": {"kind": "dvts", "width": 6, "expansions": 4}}, "strategy", "width"),
        ({"strategy": {"kind": "mcts", "simulations": 0}}, "strategy", "simulations"),
        ({"strategy": {"kind": "beam_search", "max_steps": 0}}, "strategy", "max_steps"),
        ({"strategy": {"kind": "beam_search", "step_separator": ""}}, "strategy", "step_separator"),
        ({"strategy": "beam-4x4@reference"}, "strategy", "reference"),
        ({"strategy": "beam-64x64"}, "strategy", "at most 64"),
        ({"strategy": {"kind": "rstar", "discriminator": "gone"}}, "strategy", "gone"),
        ({"strategy": "vote-16", "budget": {"max_candidates": 4}}, "budget.max_candidates", "16"),
        ({"strategy": "beam-2x2", "max_tokens": 100, "budget": {"max_tokens_total": 50}}, "budget", "50"),
        ({"strategy": "beam-2x2", "budget": {"max_tokens_total": 0}}, "budget.max_tokens_total", "0"),
        ({"strategy": "beam-2x2", "budget": {"deadline_s": -1}}, "budget.deadline_s", "-1"),
        ({"strategy": "beam-2x2", "n": 3, "budget": {"max_candidates": 2}}, "budget.max_candidates", "2"),
    ],
)
def test_what_cannot_run_is_refused(server: Live, fields: dict[str, Any], param: str, message: str) -> None:
    calls = len(server.engine.calls)
    reply = server.chat(**fields)
    error = reply.json()["error"]
    assert reply.status_code == 400, error
    assert (error["param"] or "").startswith(param), error
    assert message in error["message"], error
    assert len(server.engine.calls) == calls


def test_a_verifier_of_whole_answers_cannot_guide_steps(server: Live) -> None:
    reply = server.chat(strategy={"kind": "beam_search", "verifier": {"kind": "reference", "answer": "2"}})
    assert reply.status_code == 400
    assert "needs a verifier that judges partial" in reply.json()["error"]["message"]
    assert server.engine.calls == []


@pytest.mark.parametrize(
    "strategy", ["beam-2x2", "dvts-4x2", "rebase-4", "particles-4", "mcts-4", "tot-2x2", "rstar-4"]
)
def test_an_engine_that_cannot_continue_beginnings_is_refused(strategy: str) -> None:
    with live(engine=ScriptedEngine(["hi"], token_ids=False)) as chat:
        reply = chat.chat(strategy=strategy)
        assert reply.status_code == 400
        assert "extends given beginnings of answers" in reply.json()["error"]["message"]
        assert chat.engine.calls == []
