"""A server whose engine asks another server of this project, as it would ask vLLM."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deliberate.engines.openai import UpstreamOptions, connect
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

from .support import CANDIDATES, MESSAGES, Live, live, running
from .test_tools import TOOLS, call


@dataclass(frozen=True, slots=True)
class Chain:
    """Two servers, one behind the other."""

    inner: Live
    outer: httpx.Client

    def ask(self, path: str, **fields: Any) -> Any:
        """The outer server's reply."""
        reply = self.outer.post(path, json={"model": "outer"} | fields)
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
def chain() -> Iterator[Chain]:
    def script(prompt: str, number: int) -> Reply:
        return Reply(f"I look. {call('Rome')}" if "weather" in prompt else CANDIDATES[number % len(CANDIDATES)])

    def logprob(sequence: Sequence[int], position: int) -> float:
        return -(sequence[position] % 7) / 8 - position / 100

    with live(engine=ScriptedEngine(script, token_logprob=logprob, tools=True)) as inner:
        engine = connect(UpstreamOptions(urls=(f"{inner.url}/v1",), model="tiny"))
        settings = Settings(port=0, log_level="critical", drain_timeout_seconds=1, verifier="calculator")
        with running(settings, [ServedModel("outer", engine)]) as url, httpx.Client(base_url=url, timeout=10) as outer:
            yield Chain(inner, outer)


@pytest.mark.parametrize("strategy", ["vote-4", "best-of-4"])
def test_searches(chain: Chain, strategy: str) -> None:
    reply = chain.ask("/v1/chat/completions", messages=MESSAGES, strategy=strategy)
    assert reply["choices"][0]["message"]["content"] == "<answer>2</answer>"
    texts = [candidate["text"] for candidate in reply["deliberation"]["candidates"]]
    assert sorted(texts) == sorted(CANDIDATES)
    assert reply["usage"]["completion_tokens"] == sum(len(text) + 1 for text in texts)


def test_completions(chain: Chain) -> None:
    """Seeds, token ids and log-probabilities pass through two servers unchanged."""
    fields = {"prompt": list(b"Say"), "logprobs": 1, "return_token_ids": True, "seed": 3, "max_tokens": 9}
    (sampled,) = chain.ask("/v1/completions", **fields)["choices"]
    assert (sampled["text"], sampled["finish_reason"]) == (CANDIDATES[0][:9], "length")
    assert sampled["token_ids"] == list(CANDIDATES[0][:9].encode())
    assert sampled["logprobs"]["token_logprobs"] == [-0.1] * 9
    assert [made.sampling.seed for made in chain.inner.engine.calls] == [3]


@pytest.mark.parametrize(
    "scoring", [{"echo": True, "logprobs": 0, "max_tokens": 0}, {"prompt_logprobs": 0, "max_tokens": 0}]
)
def test_scores(chain: Chain, scoring: dict[str, Any]) -> None:
    direct = chain.inner.http.post("/v1/completions", json={"model": "tiny", "prompt": "Say"} | scoring).json()
    through = chain.ask("/v1/completions", prompt="Say", **scoring)
    assert through["choices"] == direct["choices"]


def test_next_tokens(chain: Chain) -> None:
    fields = {"prompt": "Say", "logprob_token_ids": [43, 45], "logprobs": 0, "max_tokens": 1}
    direct = chain.inner.http.post("/v1/completions", json={"model": "tiny"} | fields).json()["choices"][0]
    through = chain.ask("/v1/completions", **fields)["choices"][0]
    for token in "+-":
        assert through["logprobs"]["top_logprobs"][0][token] == direct["logprobs"]["top_logprobs"][0][token]


def test_tools(chain: Chain) -> None:
    messages = [{"role": "user", "content": "How is the weather in Rome?"}]
    choice = chain.ask("/v1/chat/completions", messages=messages, tools=TOOLS)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "I look.")
    (made,) = choice["message"]["tool_calls"]
    assert (made["function"]["name"], made["function"]["arguments"]) == ("weather", '{"city": "Rome"}')
    (asked,) = chain.inner.engine.calls
    assert asked.conversation is not None and list(asked.conversation.tools) == TOOLS


def test_tokens(chain: Chain) -> None:
    assert chain.ask("/tokenize", prompt="aé")["tokens"] == [97, 195, 169]
    assert chain.ask("/detokenize", tokens=[97, 98])["prompt"] == "ab"
