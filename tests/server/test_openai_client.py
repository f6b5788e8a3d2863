"""The official `openai` client against a server over a real socket.

Needs pytest and openai only when `DELIBERATE_TEST_BASE_URL` names a server that runs `serve_scripted`; else it starts
its own.
"""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

MESSAGES: Any = [{"role": "user", "content": "What is 1 + 1?"}]
BY_CONFIG: Any = {"kind": "weighted_vote", "n": 4, "verifier": {"kind": "calculator"}}
SELECTIONS: dict[str, dict[str, Any]] = {
    "body name": {"extra_body": {"strategy": "vote-4"}},
    "body config": {"extra_body": {"strategy": BY_CONFIG}},
    "header": {"extra_headers": {"X-Deliberate-Strategy": "best-of-4@calculator"}},
    "suffix": {"model": "tiny:weighted-vote-4"},
    "effort": {"reasoning_effort": "low"},
}
KINDS = {
    "body name": "majority_vote",
    "body config": "weighted_vote",
    "header": "best_of_n",
    "suffix": "weighted_vote",
    "effort": "adaptive_vote",
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server that runs already, or one of our own."""
    if (given := os.environ.get("DELIBERATE_TEST_BASE_URL")) is not None:
        yield given
        return
    from .support import live

    with live() as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=20) as client:
        yield client


def request(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": MESSAGES, "seed": 1} | fields


def extra(reply: Any) -> Any:
    """Fields that OpenAI does not have."""
    return reply.model_extra


def test_plain_completion(client: OpenAI) -> None:
    reply = client.chat.completions.create(**request())
    choice = reply.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content is not None and choice.message.content.startswith("<answer>")
    assert extra(choice.message)["reasoning_content"] == extra(choice.message)["reasoning"]
    usage = reply.usage
    assert usage is not None and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert extra(reply)["deliberation"]["strategy"] == {"kind": "none"}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_way_to_select(client: OpenAI, selection: str) -> None:
    raw = client.chat.completions.with_raw_response.create(**request(**SELECTIONS[selection]))
    reply = raw.parse()
    assert reply.choices[0].message.content == "<answer>2</answer>"
    deliberation = extra(reply)["deliberation"]
    assert deliberation["strategy"]["kind"] == KINDS[selection]
    # The effort's strategy is adaptive: two equal votes of four decide it.
    assert len(deliberation["candidates"]) == 4 or (selection == "effort" and len(deliberation["candidates"]) in (2, 3))
    assert reply.usage is not None
    assert reply.usage.completion_tokens == sum(c["tokens"] for c in deliberation["candidates"])
    assert raw.headers["x-deliberate-strategy"].endswith(("4", "4@calculator")) or selection == "body config"


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_way_to_select_streamed(client: OpenAI, selection: str) -> None:
    stream = client.chat.completions.create(**request(**SELECTIONS[selection]), stream=True)
    chunks = list(stream)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "<answer>2</answer>"
    progress = "".join((extra(delta) or {}).get("reasoning_content", "") for delta in deltas)
    assert "Sampled 4 of 4: 2 (2 votes)" in progress
    assert extra(chunks[-1])["deliberation"]["strategy"]["kind"] == KINDS[selection]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_streamed_usage_comes_last(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(**request(), stream=True, stream_options=options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_async_client_streams_and_completes(base_url: str) -> None:
    asyncio.run(_stream_and_complete(base_url))


async def _stream_and_complete(base_url: str) -> None:
    async with AsyncOpenAI(base_url=base_url, api_key="-", max_retries=0) as client:
        replies = await asyncio.gather(
            *(client.chat.completions.create(**request(model="tiny:vote-4")) for _ in range(4))
        )
        assert [reply.choices[0].message.content for reply in replies] == ["<answer>2</answer>"] * 4
        stream = await client.chat.completions.create(**request(model="tiny:vote-4"), stream=True)
        texts = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        assert "".join(texts) == "<answer>2</answer>"


def test_n_choices_are_distinct_answers_of_a_search(client: OpenAI) -> None:
    reply = client.chat.completions.create(**request(model="tiny:vote-4", n=3))
    contents = [choice.message.content for choice in reply.choices]
    assert contents[0] == "<answer>2</answer>"
    assert sorted(map(str, contents)) == ["<answer>2</answer>", "<answer>3</answer>", "<answer>4</answer>"]
    assert [choice.index for choice in reply.choices] == [0, 1, 2]


def test_logprobs_cover_the_content(client: OpenAI) -> None:
    reply = client.chat.completions.create(**request(logprobs=True, top_logprobs=1))
    choice = reply.choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    assert bytes(byte for token in tokens for byte in token.bytes or ()).decode() == choice.message.content
    assert all(len(token.top_logprobs) == 1 for token in tokens)


def test_streamed_logprobs_cover_the_content(client: OpenAI) -> None:
    choices = [
        choice
        for chunk in client.chat.completions.create(**request(logprobs=True), stream=True)
        for choice in chunk.choices
    ]
    tokens = [token.token for choice in choices if choice.logprobs for token in choice.logprobs.content or ()]
    assert "".join(tokens) == "".join(choice.delta.content or "" for choice in choices)


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    assert client.models.retrieve("tiny:best-of-16").id == "tiny:best-of-16"
    with pytest.raises(NotFoundError, match="org/other"):
        client.models.retrieve("org/other")


def test_errors_are_the_clients_own_classes(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        client.chat.completions.create(**request(model="huge"))
    assert unknown.value.code == "model_not_found"
    with pytest.raises(BadRequestError, match="best-of") as wrong:
        client.chat.completions.create(**request(model="tiny:bestof-4"))
    assert isinstance(wrong.value, APIStatusError) and wrong.value.param == "model"
    with pytest.raises(BadRequestError, match="nobody"):
        client.chat.completions.create(**request(extra_headers={"X-Deliberate-Strategy": "nobody"}), stream=True)
