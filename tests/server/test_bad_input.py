"""Whatever is wrong with a request, the answer says what, and no token is generated for it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .support import MESSAGES, Live, live

KNOWN_VERIFIER = "calculator"

FIELDS: dict[str, tuple[dict[str, Any], int, list[str]]] = {
    "unknown model": ({"model": "tinny"}, 404, ["'tinny'", "known: tiny"]),
    "unknown strategy": ({"strategy": "bestof-4"}, 400, ["'bestof'", "best-of", "weighted_vote"]),
    "unknown strategy in the suffix": ({"model": "tiny:bestof-4"}, 400, ["'bestof'", "best-of"]),
    "unknown strategy kind": ({"strategy": {"kind": "beam"}}, 400, ["'beam'", "best_of_n"]),
    "strategy of no kind": ({"strategy": {"n": 4}}, 400, ["kind", "best_of_n"]),
    "strategy of wrong type": ({"strategy": 4}, 400, ["4", "a name or an object"]),
    "strategy option out of range": ({"strategy": "vote-0"}, 400, ["n", "0", "greater than or equal to 1"]),
    "unknown strategy option": ({"strategy": {"kind": "majority_vote", "m": 4}}, 400, ["majority_vote.m", "4"]),
    "too wide a strategy": ({"strategy": "vote-300"}, 400, ["300", "256"]),
    "unknown verifier": ({"strategy": "best-of-4@oracle"}, 400, ["'oracle'", KNOWN_VERIFIER]),
    "unknown verifier kind": (
        {"strategy": {"kind": "best_of_n", "verifier": {"kind": "oracle"}}},
        400,
        ["oracle", KNOWN_VERIFIER],
    ),
    "two strategies": ({"model": "tiny:vote-4", "strategy": "vote-8"}, 400, ["vote-4", "vote-8", "model", "strategy"]),
    "unknown field": ({"temprature": 1}, 400, ["'temprature'", "'temperature'"]),
    "unknown nested field": (
        {"messages": [{"role": "user", "contents": "hi"}]},
        400,
        ["'contents'", "'content'"],
    ),
    "n of 0": ({"n": 0}, 400, ["n:", "0", "greater than or equal to 1"]),
    "n of 200": ({"n": 200}, 400, ["n:", "200", "less than or equal to 128"]),
    "more answers than candidates": ({"n": 5, "strategy": "vote-4"}, 400, ["n = 5", "at most 4"]),
    "a hundred stops": ({"stop": ["x"] * 100}, 400, ["stop", "16", "100"]),
    "empty stop": ({"stop": ""}, 400, ["stop", "at least 1 character"]),
    "hot temperature": ({"temperature": 2.5}, 400, ["temperature", "2.5", "less than or equal to 2"]),
    "temperature of text": ({"temperature": "hot"}, 400, ["temperature", "'hot'", "number"]),
    "top_p of 2": ({"top_p": 2}, 400, ["top_p", "2"]),
    "no tokens": ({"max_tokens": 0}, 400, ["max_tokens", "0"]),
    "two limits": ({"max_tokens": 5, "max_completion_tokens": 6}, 400, ["5", "6"]),
    "logit bias of an unknown token": ({"logit_bias": {"999999": 1}}, 400, ["999999", "256"]),
    "too strong a logit bias": ({"logit_bias": {"9": 101}}, 400, ["logit_bias", "101", "100"]),
    "alternatives without logprobs": ({"top_logprobs": 2}, 400, ["top_logprobs = 2", "logprobs"]),
    "too many alternatives": ({"logprobs": True, "top_logprobs": 21}, 400, ["top_logprobs", "21", "20"]),
    "unknown effort": ({"reasoning_effort": "huge"}, 400, ["'huge'", "'medium'"]),
    "stream options without stream": (
        {"stream": False, "stream_options": {"include_usage": True}},
        400,
        ["stream_options needs stream"],
    ),
    "no messages": ({"messages": []}, 400, ["messages", "at least 1"]),
    "unknown role": ({"messages": [{"role": "robot", "content": "x"}]}, 400, ["messages[0].role", "'robot'", "'user'"]),
    "user says null": ({"messages": [{"role": "user", "content": None}]}, 400, ["'user'", "content"]),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        400,
        ["image_url", '"text"'],
    ),
    "half a character": ({"messages": [{"role": "user", "content": "\ud800"}]}, 400, ["messages[0].content"]),
    "too long a prompt": ({"messages": [{"role": "user", "content": "x" * 5000}]}, 400, ["5018", "4096"]),
    "JSON schema": ({"response_format": {"type": "json_object"}}, 400, ["response_format", '"kind": "json"']),
    "tools": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, ["tools", "message"]),
    "required tool": ({"tool_choice": "required"}, 400, ["tool_choice", "required"]),
    "audio": ({"modalities": ["text", "audio"]}, 400, ["modalities", "text"]),
    "deep nesting": ({"metadata": json.loads("[" * 150 + "]" * 150)}, 400, ["metadata", "100 levels"]),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live() as shared:
        yield shared


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("case", FIELDS)
def test_wrong_field(server: Live, case: str, streamed: bool) -> None:
    fields, status, expected = FIELDS[case]
    body = {"model": "tiny", "messages": MESSAGES, "stream": streamed} | fields
    check(server, json.dumps(body).encode(), status, expected)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"model": "tiny",', 400, ["not valid JSON", "character 17"]),
        (b"", 400, ["no body"]),
        (b"[1]", 400, ["JSON object"]),
        (b"{}", 400, ["'model'", "'messages'"]),
        (b"[" * 100_000, 400, ["pars"]),
        (b'{"model": "tiny", "messages": "\xff"}', 400, ["pars"]),
        (
            b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
            400,
            ["nan", "finite"],
        ),
        (
            b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "top_p": Infinity}',
            400,
            ["inf", "finite"],
        ),
        (b'"' + b"x" * 10_000_000 + b'"', 413, ["4194304"]),
    ],
    ids=["cut off", "empty", "list", "nothing in it", "brackets", "not UTF-8", "NaN", "Infinity", "10 MB"],
)
def test_wrong_body(server: Live, body: bytes, status: int, expected: list[str]) -> None:
    check(server, body, status, expected)


def check(server: Live, body: bytes, status: int, expected: list[str]) -> None:
    """The request is refused in OpenAI's shape, the message holds what is expected, and the engine was not called."""
    reply = server.http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    for text in expected:
        assert text in error["message"]
    assert server.engine.calls == []


def test_body_in_chunks_is_limited_too(server: Live) -> None:
    reply = server.http.post(
        "/v1/chat/completions",
        content=(b"x" * 100_000 for _ in range(100)),
        headers={"content-type": "application/json"},
    )
    assert reply.status_code == 413
    assert server.engine.calls == []


def test_form_is_not_json(server: Live) -> None:
    reply = server.http.post("/v1/chat/completions", data={"model": "tiny"})
    assert reply.status_code == 400
    assert "Content-Type: application/json" in reply.json()["error"]["message"]


def test_strategy_without_verifier() -> None:
    with live(verifier=None) as server:
        reply = server.chat(strategy="best-of-4")
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "strategy.verifier"
        assert "best_of_n" in reply.json()["error"]["message"]
        assert server.engine.calls == []


@pytest.mark.parametrize("header", ["nobody-4", '{"kind": "majority_vote", "n":', '{"kind": "majority_vote", "n": 0}'])
def test_wrong_header(server: Live, header: str) -> None:
    body = {"model": "tiny", "messages": MESSAGES}
    reply = server.http.post("/v1/chat/completions", json=body, headers={"X-Deliberate-Strategy": header})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("X-Deliberate-Strategy")
    assert server.engine.calls == []


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/health", 405)]
)
def test_wrong_address(server: Live, method: str, path: str, status: int) -> None:
    reply = server.http.request(method, path)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/verify", {"verifier": "oracle", "messages": MESSAGES, "candidates": ["x"]}, ["oracle", KNOWN_VERIFIER]),
        ("/v1/verify", {"verifier": KNOWN_VERIFIER, "messages": MESSAGES, "candidates": []}, ["candidates"]),
        ("/v1/verify", {"verifier": KNOWN_VERIFIER, "messages": MESSAGES, "candidates": ["x"] * 300}, ["300", "256"]),
        ("/tokenize", {}, ["prompt", "messages"]),
        ("/tokenize", {"prompt": "x", "add_special_tokens": True}, ["add_special_tokens", "as they stand"]),
        ("/tokenize", {"messages": MESSAGES, "chat_template": "x"}, ["chat_template", "--chat-template"]),
        ("/detokenize", {"tokens": [257]}, ["257", "256"]),
    ],
)
def test_wrong_elsewhere(server: Live, path: str, body: dict[str, Any], expected: list[str]) -> None:
    reply = server.http.post(path, json=body)
    assert reply.status_code == 400
    for text in expected:
        assert text in reply.json()["error"]["message"]
