"""What of a request reaches the engine."""

from itertools import pairwise
from typing import Any

import pytest

from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.server.requests import ChatRequest
from deliberate.server.sampling import sampling_of, spread
from deliberate.server.serving import ServedModel

from .support import MESSAGES, Live

DEFAULTS = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}


def read(model_defaults: dict[str, Any], **fields: Any) -> Sampling:
    request = ChatRequest.model_validate({"model": "tiny", "messages": MESSAGES} | fields)
    return sampling_of(request, ServedModel("tiny", ScriptedEngine(["x"], sampling_defaults=model_defaults)), 1)


def test_openai_defaults() -> None:
    assert read({}) == Sampling(seed=spread(1))


def test_model_defaults_stand_behind_the_request() -> None:
    assert read(DEFAULTS) == Sampling(seed=spread(1), temperature=0.7, top_p=0.8, top_k=20)
    assert read(DEFAULTS, temperature=0, top_k=-1) == Sampling(seed=spread(1), temperature=0, top_p=0.8, top_k=0)


def test_everything_is_passed_on() -> None:
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "frequency_penalty": 0.2,
        "presence_penalty": -0.3,
        "stop_token_ids": [7],
    }
    extra = {
        "logit_bias": {"65": 2},
        "stop": "END",
        "max_completion_tokens": 9,
        "logprobs": True,
        "top_logprobs": 3,
        "stream_interval": 4,
    }
    sampling = read({}, **fields, **extra)
    assert sampling == Sampling.model_validate(
        fields
        | {
            "seed": spread(1),
            "logit_bias": {65: 2},
            "stop": ("END",),
            "max_tokens": 9,
            "top_logprobs": 3,
            "stream_interval": 4,
        }
        | {"stop_token_ids": (7,)}
    )


def test_no_nucleus_is_the_likeliest_token() -> None:
    assert read({}, top_p=0) == Sampling(seed=spread(1), top_k=1)


def test_candidates_of_neighbouring_seeds_do_not_meet() -> None:
    starts = sorted(spread(seed) for seed in range(-500, 500))
    assert min(after - before for before, after in pairwise(starts)) > 1024
    assert all(0 <= start < 2**48 for start in starts)


def test_reported_seed_gives_the_same_again(server: Live) -> None:
    drawn = server.chat().json()["deliberation"]["seed"]
    server.chat(seed=drawn)
    server.chat()
    first, again, other = (call.sampling.seed for call in server.engine.calls)
    assert first == again == spread(drawn) != other


@pytest.mark.parametrize("field", ["user", "metadata", "store", "service_tier", "prompt_cache_key", "prediction"])
def test_fields_that_change_nothing(server: Live, field: str) -> None:
    assert server.chat(**{field: "x"}).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None, "tool_choice": "auto", "response_format": {"type": "text"}},
        {"modalities": ["text"], "audio": None, "verbosity": "medium", "function_call": "none"},
        {"stop": None, "n": None, "temperature": None, "seed": None, "strategy": None, "stream": None},
    ],
)
def test_fields_that_say_the_usual(server: Live, fields: dict[str, Any]) -> None:
    assert server.chat(**fields).status_code == 200


def test_an_answer_can_be_sent_back(server: Live) -> None:
    answer = server.chat().json()["choices"][0]["message"]
    messages = [*MESSAGES, answer | {"audio": None, "function_call": None, "tool_calls": None, "annotations": []}]
    assert server.chat(messages=[*messages, {"role": "tool", "tool_call_id": "1", "content": "ok"}]).status_code == 200
