"""Upstreams that read conversations."""

import json
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Delta, Prompt, SampleBuilder, Sampling, StructuredOutput

from .conftest import MakeEngine, MakeUpstream
from .fake_upstream import Fault

QUESTION = {"role": "user", "content": "What is 2 + 3?"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def ask(*, tools: bool = False) -> Prompt:
    return Prompt((), Conversation((QUESTION,), (TOOL,) if tools else (), "auto" if tools else None))


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_each_sample_is_a_request_with_its_seed(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody", story="2 + 3 = 5")
    engine = engine_of(server)
    got = [delta async for delta in engine.generate(ask(), Sampling(seed=7, max_tokens=20), 3)]
    assert [text_of([d for d in got if d.index == i]) for i in range(3)] == ["2 + 3 = 5"] * 3
    assert sorted(asked.body["seed"] for asked in server.asked) == [7, 8, 9]
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body["messages"] == [QUESTION]


async def test_nothing_is_sent_that_changes_nothing(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody")
    [delta async for delta in engine_of(server).generate(ask(), Sampling())]
    assert set(server.asked[0].body) == {"model", "messages", "temperature", "seed", "stream", "stream_options"}


async def test_what_was_chosen_is_sent(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody")
    sampling = Sampling(
        max_tokens=9, top_p=0.5, top_k=4, min_p=0.1, stop=("x",), logit_bias={5: 1.0}, presence_penalty=0.5
    )
    [delta async for delta in engine_of(server).generate(ask(tools=True), sampling)]
    sent = server.asked[0].body
    assert {name: sent[name] for name in ("max_tokens", "top_p", "top_k", "min_p", "stop", "logit_bias")} == {
        "max_tokens": 9,
        "top_p": 0.5,
        "top_k": 4,
        "min_p": 0.1,
        "stop": ["x"],
        "logit_bias": {"5": 1.0},
    }
    assert sent["presence_penalty"] == 0.5
    assert sent["tools"] == [TOOL]
    assert sent["tool_choice"] == "auto"


async def test_tokens_are_counted_as_the_usage_says(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    engine = engine_of(upstream(owner="somebody", story="abcd"))
    got = [delta async for delta in engine.generate(ask(), Sampling())]
    assert [delta.unseen_tokens for delta in got] == [1, 1, 1, 1, 8]
    assert got[-1].finish is not None
    assert got[-1].finish.prompt_tokens == 7
    assert engine.stats.generated_tokens_total == 12
    assert engine.stats.prefill_tokens_total == 7


async def test_without_usage_pieces_are_counted(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    engine = engine_of(upstream(owner="somebody", story="abcd", tells_usage=False))
    got = [delta async for delta in engine.generate(ask(), Sampling())]
    assert sum(delta.unseen_tokens for delta in got) == 4


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thoughts_stand_in_the_text(name: str, upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    chunks = [{"role": "assistant", "content": ""}, {name: "2 and "}, {name: "3"}, {"content": "5"}, {"content": "!"}]
    engine = engine_of(upstream(owner="somebody", chunks=chunks))
    assert text_of([d async for d in engine.generate(ask(), Sampling())]) == "<think>2 and 3</think>5!"


async def test_tool_calls_stand_in_the_text(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    chunks: list[dict[str, Any]] = [
        {"reasoning_content": "Add."},
        {"tool_calls": [{"index": 0, "id": "a1", "type": "function", "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"naïve":'}}]},
        {"tool_calls": [{"index": 1, "id": "b2", "function": {"name": "add", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
    ]
    engine = engine_of(upstream(owner="somebody", chunks=chunks, finish_reason="tool_calls"))
    got = [delta async for delta in engine.generate(ask(tools=True), Sampling())]
    first = json.dumps({"id": "a1", "name": "add", "arguments": '{"naïve": 1}'}, ensure_ascii=False)
    second = json.dumps({"id": "b2", "name": "add", "arguments": "{}"})
    assert text_of(got) == f"<think>Add.</think><tool_call>{first}</tool_call><tool_call>{second}</tool_call>"
    assert got[-1].finish is not None
    assert got[-1].finish.reason == "stop"


@pytest.mark.parametrize(("told", "reason"), [("length", "length"), ("content_filter", "error"), ("stop", "stop")])
async def test_reasons_to_end(told: str, reason: str, upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    engine = engine_of(upstream(owner="somebody", finish_reason=told))
    *_, last = [delta async for delta in engine.generate(ask(), Sampling())]
    assert last.finish is not None
    assert last.finish.reason == reason


async def test_a_broken_answer_begins_anew(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody", story="abcdef", faults=[Fault(after=3, then="drop"), Fault(status=503)])
    got = [delta async for delta in engine_of(server).generate(ask(), Sampling())]
    assert [delta.restart for delta in got] == [False] * 3 + [True] + [False] * 6
    builder = SampleBuilder()
    sample = [builder.add(delta) for delta in got][-1]
    assert sample is not None
    assert sample.text == "abcdef"
    assert sample.tokens == 3 + 18


async def test_alternatives_are_told_to_who_asks(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody", story="Yes", alternatives={"Yes": -0.25, "No": -1.5})
    server.faults.append(Fault(after=2, then="drop"))
    builder = SampleBuilder()
    got = [builder.add(delta) async for delta in engine_of(server).generate(ask(), Sampling(top_logprobs=2))]
    assert got[-1] is not None
    assert got[-1].top_texts == ((("Yes", -0.25), ("No", -1.5)),), "once, though the answer began twice"
    assert {"logprobs": True, "top_logprobs": 2}.items() <= server.asked[0].body.items()


async def test_an_answer_that_only_lacks_its_usage_is_whole(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    """The end was told; what broke off after it is the price."""
    server = upstream(owner="somebody", story="ab", tells_usage=False)
    server.fault_of = lambda body: Fault(after=9, then="drop")
    assert text_of([d async for d in engine_of(server).generate(ask(), Sampling())]) == "ab"
    assert len(server.asked) == 1


async def test_forms_that_vendors_enforce(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody")
    engine = engine_of(server)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for form in (StructuredOutput(json_schema=schema), StructuredOutput(json_object=True)):
        [delta async for delta in engine.generate(ask(), Sampling(structured_output=form))]
    sent = [asked.body["response_format"] for asked in server.asked]
    assert sent[0]["json_schema"]["schema"] == schema
    assert sent[1] == {"type": "json_object"}
    with pytest.raises(InvalidRequest, match="json_schema and json_object, not regex"):
        [d async for d in engine.generate(ask(), Sampling(structured_output=StructuredOutput(regex="a")))]


async def test_what_needs_tokens_is_refused(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    engine = engine_of(upstream(owner="somebody"))
    assert engine.tokenizer.apply_chat_template([QUESTION]) == []
    assert engine.tokenizer.token_bytes(5) == b""
    for refused in (engine.score([[1, 2]], [1]), engine.next_logprobs([[1, 2]], [[1]], [3])):
        with pytest.raises(InvalidRequest, match=r"chat API.*vLLM"):
            await refused
    with pytest.raises(InvalidRequest, match="shows no tokens"):
        engine.tokenizer.encode("a")
    with pytest.raises(InvalidRequest, match="shows no tokens"):
        engine.tokenizer.decode([1])
    with pytest.raises(InvalidRequest, match="reads conversations"):
        [delta async for delta in engine.generate(Prompt((1, 2)), Sampling())]


async def test_a_vllm_upstream_is_asked_for_tools_by_conversation(
    upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(story="abc")
    prompt = Prompt((65,) * 40, ask(tools=True).conversation)
    got = [delta async for delta in engine_of(server).generate(prompt, Sampling(top_k=3, stream_interval=4))]
    assert text_of(got) == "abc"
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body["stream_interval"] == 4
