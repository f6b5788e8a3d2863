"""`POST /v1/completions` over real sockets: what it samples, what it scores, and what it refuses."""

import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from typing import Any

import httpx
import pytest
from openai import OpenAI

from deliberate.engines.protocol import Delta, Prompt, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine

from .support import MESSAGES, Live, live
from .test_going_away import ask_and_leave, until

UNICODE = "aé<b"


def ask(server: Live, **fields: Any) -> Any:
    """The reply to a completion request with defaults."""
    reply = server.http.post("/v1/completions", json={"model": "tiny", "prompt": "Say", "seed": 5} | fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def chunks(server: Live, **fields: Any) -> list[Any]:
    """The chunks of a streamed reply."""
    body = {"model": "tiny", "prompt": "Say", "seed": 5, "stream": True} | fields
    reply = server.http.post("/v1/completions", json=body)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *data, done = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    return [json.loads(line) for line in data]


def descending(sequence: Sequence[int], position: int) -> float:
    """Another log-probability for every token and place."""
    return -(sequence[position] % 7) / 8 - position / 100


def test_the_official_client() -> None:
    with live(["one", "two", "three", "four"]) as server, OpenAI(base_url=f"{server.url}/v1", api_key="-") as client:
        reply = client.completions.create(model="tiny", prompt=["first", "second"], n=2, seed=1)
        assert [(choice.index, choice.text) for choice in reply.choices] == [
            (0, "one"),
            (1, "two"),
            (2, "three"),
            (3, "four"),
        ]
        assert {choice.finish_reason for choice in reply.choices} == {"stop"}
        assert reply.object == "text_completion" and reply.id.startswith("cmpl-")
        assert reply.usage is not None
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (
            len("firstsecond"),
            len("onetwothreefour") + 4,
        )
        options: Any = {"include_usage": True}
        parts = list(client.completions.create(model="tiny", prompt=[97, 98], stream=True, stream_options=options))
        assert "".join(choice.text for part in parts for choice in part.choices) == "one"
        assert parts[-2].choices[0].finish_reason == "stop"
        assert parts[-1].choices == [] and parts[-1].usage is not None
        assert parts[-1].usage.total_tokens == 2 + 4


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("é", [(195, 169)]),
        (["a", "b"], [(97,), (98,)]),
        ([97, 98], [(97, 98)]),
        ([[97, 98], [99]], [(97, 98), (99,)]),
    ],
)
def test_every_way_to_write_prompts(prompt: Any, ids: list[tuple[int, ...]]) -> None:
    with live(["ok"]) as server:
        reply = ask(server, prompt=prompt)
        assert sorted(call.prompt_ids for call in server.engine.calls) == ids
        assert [choice["index"] for choice in reply["choices"]] == list(range(len(ids)))
        assert reply["usage"]["prompt_tokens"] == sum(map(len, ids))


def test_everything_reaches_the_engine() -> None:
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "presence_penalty": 1,
        "frequency_penalty": -1,
    }
    with live(["ok"]) as server:
        ask(server, **fields, stop=["x"], stop_token_ids=[9], logit_bias={"65": 2}, logprobs=2, seed=-3, n=2)
        (call,) = server.engine.calls
        sampling = call.sampling
        assert sampling.model_dump(include=set(fields)) == fields
        assert (sampling.stop, sampling.stop_token_ids, sampling.logit_bias) == (("x",), (9,), {65: 2})
        assert (sampling.seed, sampling.top_logprobs, sampling.max_tokens, call.n) == (-3, 2, 16, 2)


def test_seeds_are_vllms() -> None:
    """Sample i draws with seed + i exactly, for each prompt; without a seed one is drawn."""
    with live(["ok"]) as server:
        ask(server, seed=7, n=3, prompt=["a", "b"])
        ask(server, seed=None)
        ask(server, seed=None)
        seeds = [call.sampling.seed for call in server.engine.calls]
        assert seeds[:2] == [7, 7] and seeds[2] != seeds[3]


def test_chat_draws_the_same_for_the_same_seed() -> None:
    """A chat's prompt sent as ids, with the seed that the chat drew with."""
    engine = ScriptedEngine(["ok"])
    with live(engine=engine) as server:
        server.chat(n=2, seed=11)
        (chat,) = engine.calls
        ask(server, prompt=list(chat.prompt_ids), n=2, seed=chat.sampling.seed, max_tokens=4000)
        completion = engine.calls[1]
        assert completion.prompt_ids == chat.prompt_ids and completion.n == chat.n
        interval = {"max_tokens": 4000, "stream_interval": completion.sampling.stream_interval}
        assert completion.sampling == chat.sampling.model_copy(update=interval)


def test_logprobs_and_token_ids() -> None:
    with live([Reply(UNICODE, logprob=-0.25)]) as server:
        (choice,) = ask(server, logprobs=1, return_token_ids=True, stop="<")["choices"]
        assert choice["text"] == "aé"
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "<")
        assert choice["token_ids"] == [97, 195, 169, 60]
        assert choice["prompt_token_ids"] == list(b"Say")
        assert choice["logprobs"] == {
            "text_offset": [0, 1, 2, 3],
            "token_logprobs": [-0.25] * 4,
            "tokens": ["a", "\ufffd", "\ufffd", "<"],
            "top_logprobs": [{"a": -0.25}, {"\ufffd": -0.25}, {"\ufffd": -0.25}, {"<": -0.25}],
        }
        (named,) = ask(server, logprobs=0, return_tokens_as_token_ids=True, max_tokens=2)["choices"]
        assert named["logprobs"]["tokens"] == ["token_id:97", "token_id:195"]
        assert named["logprobs"]["top_logprobs"] == [{"token_id:97": -0.25}, {"token_id:195": -0.25}]
        assert (named["finish_reason"], named["stop_reason"], named["token_ids"]) == ("length", None, None)


def test_a_stream_says_what_the_whole_says() -> None:
    with live([Reply(UNICODE, logprob=-0.25)]) as server:
        fields = {"logprobs": 0, "return_token_ids": True, "echo": True, "n": 2, "prompt": ["Say", "Do"]}
        whole = ask(server, **fields)["choices"]
        parts = [choice for chunk in chunks(server, **fields) for choice in chunk["choices"]]
        for choice in whole:
            own = [part for part in parts if part["index"] == choice["index"]]
            assert "".join(part["text"] for part in own) == choice["text"]
            assert list(chain(*(part["token_ids"] for part in own))) == choice["token_ids"]
            for column in ("text_offset", "token_logprobs", "tokens", "top_logprobs"):
                assert list(chain(*(part["logprobs"][column] for part in own))) == choice["logprobs"][column]
            assert [part["prompt_token_ids"] for part in own] == [choice["prompt_token_ids"]] + [None] * (len(own) - 1)
            assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + ["stop"]
        assert "usage" not in chunks(server)[0]


def test_stream_interval_reaches_the_engine() -> None:
    with live(["ok"]) as server:
        chunks(server, stream_interval=5)
        chunks(server)
        assert [call.sampling.stream_interval for call in server.engine.calls] == [5, 1]


def test_scoring_as_lm_evaluation_harness_asks() -> None:
    """echo + logprobs + max_tokens 1 + token ids: the prompt's own log-probabilities, and those of one new token."""
    with live(engine=ScriptedEngine([Reply("ok", logprob=-3)], token_logprob=descending)) as server:
        prompts = [list(b"Yes"), list(b"Nope")]
        fields = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0, "seed": 1234}
        reply = ask(server, prompt=prompts, **fields)
        for prompt, choice in zip(prompts, reply["choices"], strict=True):
            expected = [descending(prompt, position) for position in range(1, len(prompt))]
            assert choice["logprobs"]["token_logprobs"] == [None, *expected, -3]
            assert choice["logprobs"]["top_logprobs"][0] is None
            assert choice["logprobs"]["top_logprobs"][1] == {chr(prompt[1]): expected[0]}
            assert choice["text"] == bytes(prompt).decode() + "o"
        assert reply["usage"]["completion_tokens"] == 2


def test_scoring_without_sampling() -> None:
    with live(engine=ScriptedEngine(["ok"], token_logprob=descending)) as server:
        fields = {"prompt": "Yes", "echo": True, "logprobs": 0, "max_tokens": 0, "n": 2}
        for choice in ask(server, **fields)["choices"]:
            assert choice["text"] == "".join(choice["logprobs"]["tokens"]) == "Yes"
            assert choice["finish_reason"] == "length"
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks(server, **fields)) == "YesYes"
        filling = ask(server, prompt=[97] * 4096, max_tokens=0, prompt_logprobs=0)["choices"][0]
        assert len(filling["prompt_logprobs"]) == 4096
        assert server.engine.calls == []


def test_prompt_logprobs_in_vllms_form() -> None:
    with live(engine=ScriptedEngine(["ok"], token_logprob=descending)) as server:
        (choice,) = ask(server, prompt="Yes", prompt_logprobs=0)["choices"]
        own = {"logprob": descending(b"Yes", 1), "rank": None, "decoded_token": "e"}
        assert choice["prompt_logprobs"][:2] == [None, {str(ord("e")): own}]
        assert choice["text"] == "ok"


def test_next_tokens_log_probabilities() -> None:
    def impossible(sequence: Sequence[int], position: int) -> float:
        return -math.inf if sequence[position] == 45 else descending(sequence, position)

    with live(engine=ScriptedEngine(["ok"], token_logprob=impossible)) as server:
        fields = {"logprob_token_ids": [43, 45], "logprobs": 0, "max_tokens": 1, "return_tokens_as_token_ids": True}
        for choice in ask(server, prompt=["a", "bc"], **fields)["choices"]:
            length = choice["index"] + 1
            expected = {"token_id:43": descending([43] * (length + 1), length), "token_id:45": -9999.0}
            assert choice["logprobs"]["top_logprobs"] == [{"token_id:111": -0.1} | expected]


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no prompt": ({"prompt": None}, ["prompt"]),
    "empty prompt": ({"prompt": ""}, ["prompt[0]", "empty"]),
    "empty list": ({"prompt": []}, ["prompt"]),
    "empty ids": ({"prompt": [[97], []]}, ["prompt[1]", "empty"]),
    "no token": ({"prompt": [97, 257]}, ["257", "256"]),
    "half a token": ({"prompt": [97, 0.5]}, ["prompt[1]", "0.5"]),
    "true is no token": ({"prompt": [[97, True]]}, ["prompt[0][1]", "True"]),
    "mixed": ({"prompt": ["a", 97]}, ["prompt[1]", "list of token ids"]),
    "too long": ({"prompt": "x" * 4096}, ["4096", "Shorten the prompt"]),
    "too many": ({"prompt": ["x"] * 60, "n": 5}, ["300", "256"]),
    "unknown field": ({"promt": "x"}, ["'promt'", "'prompt'"]),
    "suffix": ({"model": "tiny:vote-4"}, ["vote-4", "/v1/chat/completions"]),
    "strategy": ({"strategy": "vote-4"}, ["vote-4", "/v1/chat/completions"]),
    "beam search": ({"use_beam_search": True}, ["use_beam_search", "/v1/chat/completions"]),
    "prompt alternatives": ({"prompt_logprobs": 3}, ["prompt_logprobs", "3"]),
    "next tokens without logprobs": ({"logprob_token_ids": [1], "max_tokens": 1}, ["needs logprobs"]),
    "next tokens of many": ({"logprob_token_ids": [1], "logprobs": 0}, ["max_tokens = 1"]),
    "unknown next token": ({"logprob_token_ids": [999], "logprobs": 0, "max_tokens": 1}, ["999", "256"]),
    "structured output": ({"structured_outputs": {"regex": "a+"}}, ["structured_outputs", '"kind": "json"']),
    "two forms": ({"structured_outputs": {"regex": "a+", "choice": ["a"]}}, ["one form"]),
    "stream options": ({"stream_options": {"include_usage": True}}, ["stream_options needs stream"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(server: Live, case: str) -> None:
    fields, expected = REFUSED[case]
    reply = server.http.post("/v1/completions", json={"model": "tiny", "prompt": "Say"} | fields)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    for text in expected:
        assert text in error["message"]
    assert server.engine.calls == []


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("echo", {"echo": True, "logprobs": 0}),
        ("prompt_logprobs", {"prompt_logprobs": 0}),
        ("logprob_token_ids", {"logprob_token_ids": [1], "logprobs": 0, "max_tokens": 1}),
    ],
)
def test_an_engine_that_cannot_score_says_so(server: Live, param: str, fields: dict[str, Any]) -> None:
    server.engine.capabilities = replace(server.engine.capabilities, scores=False)
    reply = server.http.post("/v1/completions", json={"model": "tiny", "prompt": "Say"} | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert server.engine.calls == []
    assert ask(server, echo=True, max_tokens=3)["choices"][0]["text"] == "Say<th"


class Restarting(ScriptedEngine):
    """Its samples begin anew after two tokens, as those of an upstream that broke."""

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        for character in "ab":
            yield Delta(0, character, tuple(character.encode()), (-0.1,))
        restart = True
        async with aclosing(super().generate(prompt, sampling, n)) as deltas:
            async for delta in deltas:
                yield replace(delta, restart=restart)
                restart = False


def test_what_was_streamed_is_not_begun_anew() -> None:
    with live(engine=Restarting(["cd"])) as server:
        assert ask(server)["choices"][0]["text"] == "cd"
        assert ask(server)["usage"]["completion_tokens"] == 2 + 3
        assert server.chat().json()["choices"][0]["message"]["content"] == "cd"
        for path in ("/v1/completions", "/v1/chat/completions"):
            body = {"model": "tiny", "stream": True, "prompt": "x", "messages": MESSAGES}
            body.pop("messages" if path == "/v1/completions" else "prompt")
            text = server.http.post(path, json=body).text
            assert '"code": "upstream_failed"' in text and "Send the request again" in text


def test_the_header_may_say_none_only(server: Live) -> None:
    body = {"model": "tiny", "prompt": "Say"}
    for name, status in (("vote-4", 400), ("none", 200)):
        reply = server.http.post("/v1/completions", json=body, headers={"X-Deliberate-Strategy": name})
        assert reply.status_code == status
    assert ask(server, model="tiny:none")["model"] == "tiny:none"


def test_slots_metrics_and_ids() -> None:
    with live(["ok"], queue_limit=3) as server:
        busy = server.http.post("/v1/completions", json={"model": "tiny", "prompt": ["a", "b"], "n": 2})
        assert busy.status_code == 400
        ask(server, prompt=["a", "b"])
        reply = server.http.post(
            "/v1/completions", json={"model": "tiny", "prompt": "a"}, headers={"x-request-id": "7"}
        )
        assert reply.headers["x-request-id"] == "7"
        metrics = server.http.get("/metrics").text
    assert 'deliberate_request_success_total{model="tiny",strategy="none"} 2.0' in metrics
    assert 'deliberate_generation_tokens_total{model="tiny"} 9.0' in metrics
    assert "deliberate_slots_in_use 0.0" in metrics


def test_a_full_server_says_when_to_come_back() -> None:
    with live([Reply("x" * 50, seconds_per_token=0.05)], queue_limit=2) as server:
        with httpx.stream(
            "POST", f"{server.url}/v1/completions", json={"model": "tiny", "prompt": ["a", "b"], "stream": True}
        ) as first:
            lines = first.iter_lines()
            next(lines)
            second = server.http.post("/v1/completions", json={"model": "tiny", "prompt": "a"})
            assert (second.status_code, second.headers["retry-after"]) == (503, "2")
        assert until(lambda: server.engine.stats.running == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_takes_all_prompts_along(stream: bool) -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)]) as server:
        body = {"model": "tiny", "prompt": ["a", "b", "c"], "n": 2, "max_tokens": 2000, "stream": stream}

        def begun(lines: Sequence[str]) -> bool:
            return server.engine.stats.running == 6 and (not stream or bool(lines))

        ask_and_leave(f"{server.url}/v1/completions", body, begun)
        assert len(server.engine.calls) == 3
        assert until(lambda: server.engine.stats.running == 0)
        assert until(lambda: "deliberate_slots_in_use 0.0" in server.http.get("/metrics").text)


def test_deadline_and_failures_are_errors() -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)], request_timeout_seconds=0.2) as server:
        body = {"model": "tiny", "prompt": ["a", "b"], "max_tokens": 2000}
        assert server.http.post("/v1/completions", json=body).status_code == 504
        assert until(lambda: server.engine.stats.running == 0)
    with live([Reply("ok"), Reply("bad", finish="error")]) as server:
        body = {"model": "tiny", "prompt": ["a", "b"]}
        failed = server.http.post("/v1/completions", json=body)
        assert failed.status_code == 500 and "Choice 1 failed" in failed.json()["error"]["message"]
        streamed = server.http.post("/v1/completions", json=body | {"stream": True})
        assert '"code": "search_failed"' in streamed.text.splitlines()[-2]
        server.engine.fail(RuntimeError("broken"))
        assert server.http.post("/v1/completions", json=body).status_code == 503
