"""Prompt transforms over HTTP."""

import json
from typing import Any

import pytest

from deliberate.engines.scripted import Reply, ScriptedEngine

from .support import MESSAGES, Live, live
from .test_going_away import ask_and_leave, until

FEW_SHOT = {"kind": "few_shot", "examples": [{"question": "2 + 2?", "answer": "4"}]}
DIALOGUE: list[Reply | str] = ["1. What is one?", "One.", "<answer>2</answer>"]


def prompts(server: Live) -> list[str]:
    return [bytes(call.prompt_ids).decode() for call in server.engine.calls]


def test_the_engine_reads_it_and_the_reply_tells_it(server: Live) -> None:
    reply = server.chat(prompt=["zero_shot_cot", FEW_SHOT], strategy="vote-2").json()
    text = "user: 2 + 2?\nassistant: 4\nuser: What is 1 + 1?\n\nLet's think step by step.\nassistant: "
    assert prompts(server) == [text]
    assert reply["deliberation"]["prompt"] == [{"kind": "zero_shot_cot"}, FEW_SHOT]
    assert reply["usage"]["prompt_tokens"] == len(text)


def test_without_one_nothing_changes(server: Live) -> None:
    for absent in ({}, {"prompt": None}, {"prompt": []}):
        assert server.chat(**absent).json()["deliberation"]["prompt"] == []
    assert set(prompts(server)) == {"user: What is 1 + 1?\nassistant: "}


def test_what_was_asked_is_counted() -> None:
    with live(DIALOGUE) as server:
        reply = server.chat(prompt="least_to_most", strategy="best-of-1@calculator").json()
        last = prompts(server)[-1]
        metrics = server.http.get("/metrics").text
    tokens = sum(len(str(text)) + 1 for text in DIALOGUE)
    assert reply["choices"][0]["message"]["content"] == "<answer>2</answer>"
    assert reply["usage"]["completion_tokens"] == reply["deliberation"]["tokens"] == tokens
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == tokens - len("<answer>2</answer>") - 1
    assert reply["usage"]["prompt_tokens"] == len(last)
    assert [c["index"] for c in reply["deliberation"]["candidates"]] == [0]
    assert reply["deliberation"]["prompt"] == [{"kind": "least_to_most"}]
    assert f'deliberate_generation_tokens_total{{model="tiny"}} {float(tokens)}' in metrics


@pytest.mark.parametrize("strategy", ["none", "vote-1"])
def test_streams_say_the_same(strategy: str) -> None:
    body = {"prompt": "least_to_most", "strategy": strategy, "stream_options": {"include_usage": True}}
    with live(DIALOGUE, progress_seconds=0) as server:
        reply = server.chat(prompt="least_to_most", strategy=strategy).json()
        lines = server.chat(**body, stream=True).text.splitlines()
    chunks: list[dict[str, Any]] = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "<answer>2</answer>"
    told = "".join(delta.get("reasoning", "") for delta in deltas)
    assert told.startswith(
        "" if strategy == "none" else "Asked first: 1. What is one?\nAsked first: One.\nSampled 1 of 1"
    )
    assert chunks[-1]["usage"] == reply["usage"]


def test_engines_that_read_conversations() -> None:
    engine = ScriptedEngine(["2"], token_ids=False)
    with live(engine=engine) as server:
        reply = server.chat(prompt=[{"kind": "r1_template", "text": "Tags!"}, "zero_shot_cot"]).json()
    (call,) = engine.calls
    assert call.conversation is not None
    assert list(call.conversation.messages) == [
        {"role": "system", "content": "Tags!"},
        {"role": "user", "content": "What is 1 + 1?\n\nLet's think step by step."},
    ]
    assert reply["usage"]["prompt_tokens"] > len("What is 1 + 1?")


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown kind": ({"prompt": "zero_shot_cots"}, "prompt", "Did you mean 'zero_shot_cot'"),
    "unknown kind in a list": ({"prompt": ["zero_shot_cot", {"kind": "magic"}]}, "prompt[1]", "known: few_shot"),
    "no kind": ({"prompt": {"examples": []}}, "prompt.kind", "few_shot"),
    "no examples": ({"prompt": {"kind": "few_shot", "examples": []}}, "prompt.examples", "at least 1"),
    "a number": ({"prompt": 3}, "prompt", "3"),
    "unknown option": ({"prompt": {"kind": "r1_template", "tags": "x"}}, "prompt.tags", "tags"),
    "nobody asks": (
        {"prompt": "zero_shot_cot", "messages": [{"role": "system", "content": "Hi"}]},
        "prompt",
        "no message is of role 'user'",
    ),
    "too long with it": ({"prompt": {"kind": "r1_template", "text": "x" * 4096}}, "prompt", "Shorten the prompt"),
    "too long for the first question": (
        {"prompt": {"kind": "least_to_most", "decompose": "x" * 4096}},
        "prompt",
        "Shorten the prompt",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_cost_no_token(server: Live, name: str) -> None:
    fields, param, message = WRONG[name]
    reply = server.chat(**fields)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert message in reply.json()["error"]["message"]
    assert server.engine.calls == []


def test_a_failed_answer_is_an_error() -> None:
    with live([Reply("x", finish="error")]) as server:
        reply = server.chat(prompt="least_to_most")
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "search_failed"
    assert "scripted failure" in reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_while_it_asks_takes_the_work_along(stream: bool) -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)]) as server:
        body = {"model": "tiny:vote-4", "messages": MESSAGES, "prompt": "least_to_most", "stream": stream}
        ask_and_leave(f"{server.url}/v1/chat/completions", body, lambda _: server.engine.stats.running > 0)
        assert len(server.engine.calls) == 1
        assert until(lambda: server.engine.stats.running == 0)
        assert until(lambda: "deliberate_slots_in_use 0.0" in server.http.get("/metrics").text)


def test_a_deadline_ends_the_asking() -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)], request_timeout_seconds=0.2) as server:
        reply = server.chat(prompt="least_to_most")
        assert reply.status_code == 504
        assert until(lambda: server.engine.stats.running == 0)
