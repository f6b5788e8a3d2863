"""What an engine can do decides what a request may ask: forms of the text, and engines behind somebody's chat API."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deliberate.engines.protocol import StructuredOutput
from deliberate.engines.scripted import ScriptedEngine
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

from .support import CANDIDATES, MESSAGES, Live, live, running

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}

FORMS: dict[str, tuple[dict[str, Any], StructuredOutput]] = {
    "any object": ({"response_format": {"type": "json_object"}}, StructuredOutput(json_object=True)),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
        StructuredOutput(json_schema=SCHEMA),
    ),
    "vLLM's schema": ({"structured_outputs": {"json": SCHEMA}}, StructuredOutput(json_schema=SCHEMA)),
    "vLLM's schema as text": (
        {"structured_outputs": {"json": '{"type": "object"}'}},
        StructuredOutput(json_schema={"type": "object"}),
    ),
    "vLLM's object": ({"structured_outputs": {"json_object": True}}, StructuredOutput(json_object=True)),
    "pattern": ({"structured_outputs": {"regex": "a+"}}, StructuredOutput(regex="a+")),
    "choice": ({"structured_outputs": {"choice": ["a", "b"]}}, StructuredOutput(choice=("a", "b"))),
    "grammar": ({"structured_outputs": {"grammar": 'root ::= "a"'}}, StructuredOutput(grammar='root ::= "a"')),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_reach_the_engine(case: str) -> None:
    fields, form = FORMS[case]
    with live(engine=ScriptedEngine(["{}"], structured_output=True)) as server:
        assert server.chat(**fields).status_code == 200
        body = {"model": "tiny", "prompt": "x"} | fields
        assert server.http.post("/v1/completions", json=body).status_code == 200
        assert [call.sampling.structured_output for call in server.engine.calls] == [form, form]


@pytest.mark.parametrize("case", FORMS)
def test_an_engine_that_knows_no_forms_says_so(server: Live, case: str) -> None:
    fields, _ = FORMS[case]
    error = server.chat(**fields).json()["error"]
    assert (error["param"], error["code"]) == (next(iter(fields)), "unsupported_parameter")
    assert '"kind": "json"' in error["message"]
    assert server.engine.calls == []


WRONG_FORMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown type": ({"response_format": {"type": "yaml"}}, ["response_format.type", "'yaml'"]),
    "no schema": ({"response_format": {"type": "json_schema"}}, ["json_schema"]),
    "two": ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, ["one form", "regex, choice"]),
    "none": ({"structured_outputs": {}}, ["one form"]),
    "unknown": ({"structured_outputs": {"jsn": {}}}, ["'jsn'", "'json'"]),
    "text that is no schema": ({"structured_outputs": {"json": "{"}}, ["structured_outputs"]),
    "both": ({"response_format": {"type": "text"}, "structured_outputs": {"regex": "a"}}, ["send one"]),
}


@pytest.mark.parametrize("case", WRONG_FORMS)
def test_wrong_forms(case: str) -> None:
    fields, expected = WRONG_FORMS[case]
    with live(engine=ScriptedEngine(["{}"], structured_output=True)) as server:
        reply = server.chat(**fields)
        assert reply.status_code == 400, reply.text
        for text in expected:
            assert text in reply.json()["error"]["message"]
        assert server.engine.calls == []


@pytest.fixture
def upstream() -> Iterator[Live]:
    """A server whose engine reads conversations and shows no tokens."""
    with live(engine=ScriptedEngine(CANDIDATES, token_ids=False)) as server:
        yield server


@pytest.mark.parametrize("strategy", ["none", "vote-4", "adaptive-vote-4", "best-of-4", "weighted-vote-4"])
def test_whole_answers_are_searched_for_behind_a_chat_api(upstream: Live, strategy: str) -> None:
    reply = upstream.chat(strategy=strategy).json()
    assert reply["choices"][0]["message"]["content"] == (
        "<answer>3</answer>" if strategy == "none" else "<answer>2</answer>"
    )
    candidates = reply["deliberation"]["candidates"]
    assert reply["usage"]["completion_tokens"] == sum(candidate["tokens"] for candidate in candidates) > 0
    assert reply["usage"]["prompt_tokens"] == len("user: What is 1 + 1?\nassistant: ")
    (call, *_) = upstream.engine.calls
    assert call.prompt_ids == () and call.conversation is not None
    assert list(call.conversation.messages) == MESSAGES
    streamed = upstream.chat(strategy=strategy, stream=True)
    assert "<answer>" in "".join(streamed.text.split('"content":"')) and streamed.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("fields", [{"logprobs": True}, {"stop_token_ids": [1]}, {"logit_bias": {"1": 2}}])
def test_tokens_cannot_be_asked_for_behind_a_chat_api(upstream: Live, fields: dict[str, Any]) -> None:
    reply = upstream.chat(**fields)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == next(iter(fields))
    assert "shows no tokens" in reply.json()["error"]["message"]
    assert upstream.engine.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"prompt": "x"}),
        ("/tokenize", {"messages": MESSAGES}),
        ("/detokenize", {"tokens": [1]}),
        ("/v1/completions", {"model": "tiny", "prompt": "x"}),
    ],
)
def test_addresses_about_tokens_behind_a_chat_api(upstream: Live, path: str, body: dict[str, Any]) -> None:
    reply = upstream.http.post(path, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")
    assert "reads conversations" in reply.json()["error"]["message"]


def test_texts_are_verified_behind_a_chat_api(upstream: Live) -> None:
    body = {"verifier": "calculator", "messages": MESSAGES, "candidates": ["1 + 1 = 2", "1 + 1 = 3"]}
    data = upstream.http.post("/v1/verify", json=body).json()["data"]
    assert [verdict["passed"] for verdict in data] == [True, False]


def test_models_say_what_they_were_loaded_from() -> None:
    models = [
        ServedModel("tiny", ScriptedEngine(["x"]), root="org/tiny-1b"),
        ServedModel("other", ScriptedEngine(["x"])),
    ]
    with running(Settings(port=0, log_level="critical"), models) as url:
        cards = httpx.get(f"{url}/v1/models").json()["data"]
    assert [(card["id"], card["root"]) for card in cards] == [("tiny", "org/tiny-1b"), ("other", "other")]
