"""A server whose engine asks somebody's chat API: whole answers are searched for, the rest is refused."""

from collections.abc import Iterator

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from deliberate.engines.openai import UpstreamOptions, connect
from deliberate.engines.scripted import ScriptedEngine
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

from .support import MESSAGES, live, running

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Which?"}]
REPLIES = [f"<think>\nI say {answer}.\n</think>\n<answer>{answer}</answer>" for answer in (7, 5, 7, 9)]


@pytest.fixture
def url() -> Iterator[str]:
    """The outer server's."""
    with live(engine=ScriptedEngine(REPLIES)) as inner:
        engine = connect(UpstreamOptions(urls=(f"{inner.url}/v1",), model="tiny", kind="chat"))
        settings = Settings(port=0, log_level="critical", drain_timeout_seconds=1)
        with running(settings, [ServedModel("outer", engine)]) as url:
            yield url


def test_a_vote_over_a_chat_api(url: str) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
    reply = client.chat.completions.create(model="outer:vote-4", messages=ASKED)
    message = reply.choices[0].message
    assert message.content == "<answer>7</answer>"
    assert message.model_extra is not None
    assert "I say 7." in message.model_extra["reasoning_content"]
    assert reply.usage is not None
    # As the upstream counts: every byte of every candidate and its end, and the prompt once.
    assert reply.usage.completion_tokens == sum(len(text) + 1 for text in REPLIES)
    assert reply.usage.prompt_tokens > 0


def test_a_stream_over_a_chat_api(url: str) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
    stream = client.chat.completions.create(model="outer", messages=ASKED, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "<answer>7</answer>"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"stop_token_ids": [5]}, "stop_token_ids"),
    ],
)
def test_what_needs_tokens_is_refused(url: str, fields: dict[str, object], param: str) -> None:
    body = {"model": "outer", "messages": MESSAGES} | fields
    reply = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_a_verifier_that_scores_tokens_is_refused(url: str) -> None:
    body = {"model": "outer:best-of-4@likelihood", "messages": MESSAGES}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert reply.status_code == 400
    assert "cannot score given tokens" in reply.json()["error"]["message"]


def test_completions_are_refused(url: str) -> None:
    reply = httpx.post(f"{url}/v1/completions", json={"model": "outer", "prompt": "Say"})
    assert reply.status_code == 400, reply.text
