"""Tools, from the request to the calls in the reply, with an engine that says what a model with tools would."""

from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from deliberate.engines.scripted import Reply, ScriptedEngine

from .support import MESSAGES, Live, live
from .test_streaming import normalised

GOLDEN = Path(__file__).parent / "golden" / "tool-calls.txt"

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def call(city: str, identity: str = "") -> str:
    """A call as engines write it."""
    head = f'"id": "{identity}", ' if identity else ""
    return f'<tool_call>{{{head}"name": "weather", "arguments": {{"city": "{city}"}}}}</tool_call>'


def with_tools(*script: Reply | str) -> ScriptedEngine:
    return ScriptedEngine(script, tools=True)


def arguments_of(reply: Any) -> list[str]:
    return [made["function"]["arguments"] for made in reply["choices"][0]["message"]["tool_calls"]]


def test_the_official_client_calls_tools() -> None:
    text = f"<think>Rome?</think>I look.\n{call('Rome', 'c1')}{call('Oslo')}"
    engine = with_tools(text)
    with live(engine=engine) as server, OpenAI(base_url=f"{server.url}/v1", api_key="-") as client:
        fields: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "required"}
        choice = client.chat.completions.create(**fields, parallel_tool_calls=True).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "I look."
        calls = choice.message.tool_calls
        assert calls is not None
        first, second = calls
        assert first.type == "function" and second.type == "function"
        assert (first.id, first.function.name, first.function.arguments) == ("c1", "weather", '{"city": "Rome"}')
        assert second.id.startswith("call_") and second.function.arguments == '{"city": "Oslo"}'

        stream = client.chat.completions.create(**fields, stream=True)
        parts = [choice for chunk in stream for choice in chunk.choices]
        assert "".join(part.delta.content or "" for part in parts) == "I look."
        deltas = [made for part in parts for made in part.delta.tool_calls or ()]
        assert [made.index for made in deltas] == [0, 1]
        assert [made.function.arguments for made in deltas if made.function] == ['{"city": "Rome"}', '{"city": "Oslo"}']
        assert parts[-1].finish_reason == "tool_calls"

    conversation = engine.calls[0].conversation
    assert conversation is not None
    assert list(conversation.tools) == TOOLS
    assert (conversation.tool_choice, conversation.parallel_tool_calls) == ("required", True)


def test_transcript() -> None:
    """A golden file, as in `test_streaming`."""
    with live(engine=with_tools(f"See:\n{call('Rome', 'c1')}")) as server:
        text = normalised(server.chat(tools=TOOLS, stream=True, seed=7).text)
    if not GOLDEN.exists():
        GOLDEN.write_text(text, encoding="utf-8")
        pytest.fail(f"{GOLDEN} was missing and is now written: read it, then run again")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_content_is_null_where_there_are_only_calls() -> None:
    with live(engine=with_tools(call("Rome"))) as server:
        message = server.chat(tools=TOOLS).json()["choices"][0]["message"]
        assert message["content"] is None and len(message["tool_calls"]) == 1
        named = {"type": "function", "function": {"name": "weather"}}
        assert server.chat(tools=TOOLS, tool_choice=named).status_code == 200
        assert server.engine.calls[-1].conversation.tool_choice == named  # pyright: ignore[reportOptionalMemberAccess]


def test_text_streams_while_it_is_written() -> None:
    script = Reply(f"ab {call('Rome')}", seconds_per_token=0.02)
    with live(engine=with_tools(script)) as server:
        body = {"model": "tiny", "messages": MESSAGES, "stream": True, "tools": TOOLS}
        with server.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            seen = [(line, server.engine.stats.running) for line in reply.iter_lines() if '"content":"' in line]
    assert [line.partition('"content":"')[2][:2] for line, _ in seen] == ['"}', 'a"', 'b"']
    assert seen[1][1] == seen[2][1] == 1


def test_a_call_cut_short_is_content() -> None:
    with live(engine=with_tools(Reply(call("Rome")[:30], finish="length"))) as server:
        choice = server.chat(tools=TOOLS).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", call("Rome")[:30])
    assert choice["message"]["tool_calls"] is None


def test_without_tools_the_text_is_left_alone() -> None:
    with live([call("Rome")]) as server:
        choice = server.chat().json()["choices"][0]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", call("Rome"))
        assert "tool_calls" not in server.chat(stream=True).text


@pytest.mark.parametrize("stream", [False, True])
def test_calls_are_voted_on(stream: bool) -> None:
    same = '<tool_call>{"arguments": "{\\"city\\":\\"Oslo\\"}", "id": "x", "name": "weather"}</tool_call>'
    with live(engine=with_tools(call("Rome"), call("Oslo", "a"), same)) as server:
        reply = server.chat(tools=TOOLS, strategy="vote-3", stream=stream)
    if stream:
        assert '"tool_calls":[{"id":"a","type":"function"' in reply.text
        assert "2 votes" in reply.text and '"finish_reason":"tool_calls"' in reply.text
    else:
        assert arguments_of(reply.json()) == ['{"city": "Oslo"}']
        answers = [candidate["answer"] for candidate in reply.json()["deliberation"]["candidates"]]
        assert answers[1] == answers[2] == '[{"arguments":{"city":"Oslo"},"name":"weather"}]'


def test_history_reaches_the_engine_as_it_was_sent() -> None:
    """Null content beside calls stays null for chat upstreams; templates read it as no text."""
    made = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [made]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    with live(["ok"]) as server:
        assert server.chat(messages=[*MESSAGES, asked, answered]).status_code == 200
        (sent,) = server.engine.calls
    assert sent.conversation is not None
    assert list(sent.conversation.messages) == [*MESSAGES, asked, answered]
    assert bytes(sent.prompt_ids).decode().endswith("\nassistant: \ntool: sunny\nassistant: ")


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown type": ({"tools": [{"type": "search"}]}, ["tools[0].type", "'function'"]),
    "no name": ({"tools": [{"type": "function", "function": {}}]}, ["tools[0].function.name"]),
    "bad name": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, ["tools[0].function.name", "'a b'"]),
    "parameters of text": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
        ["tools[0].function.parameters"],
    ),
    "choice without tools": ({"tool_choice": "required"}, ["tool_choice", "needs tools"]),
    "unknown choice": (
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "wether"}}},
        ["'wether'", "known: weather"],
    ),
    "no choice": ({"tools": TOOLS, "tool_choice": "maybe"}, ["tool_choice", "'maybe'"]),
    "functions": ({"functions": [{"name": "f"}]}, ["functions", "Send tools"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_tools(case: str) -> None:
    fields, expected = REFUSED[case]
    with live(engine=with_tools("ok")) as server:
        reply = server.chat(**fields)
        assert reply.status_code == 400
        for text in expected:
            assert text in reply.json()["error"]["message"]
        assert server.engine.calls == []


def test_an_engine_without_tools_says_so(server: Live) -> None:
    for fields in ({"tools": TOOLS}, {"tool_choice": "required"}):
        error = server.chat(**fields).json()["error"]
        assert (error["param"], error["code"]) == (next(iter(fields)), "unsupported_parameter")
        assert "does not call tools" in error["message"]
    assert server.engine.calls == []
