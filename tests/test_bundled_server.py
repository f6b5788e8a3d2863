"""A user's first hour: the bundled model, the official client, the README's code."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APITimeoutError, AsyncOpenAI, OpenAI

from deliberate.server.sampling import spread
from deliberate.training.tasks import load_task
from deliberate.verifiers.answers import final_answer

from .bundled import served

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
TASK = load_task("word_problems")
PROBLEMS = list(TASK.problems("test", seed=20261121, limit=24))
SHORT_NAMES = {
    "none": "none",
    "majority_vote": "vote-8",
    "best_of_n": "best-of-8",
    "weighted_vote": "weighted-vote-8",
    "adaptive_vote": "adaptive-vote-8",
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=60) as client:
        yield client


def messages(index: int) -> Any:
    return [{"role": "user", "content": PROBLEMS[index].question}]


def running(base_url: str) -> float:
    """Sequences in the engine, by its metrics."""
    text = httpx.get(base_url.removesuffix("/v1") + "/metrics").text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if re.match(r"\w*(running|waiting)\w*({|\s)", line) and not line.startswith("#")
    )


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_readmes_code_runs(code: str, base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code.replace("http://127.0.0.1:8000/v1", base_url), "README.md", "exec"), {})
    assert re.search(r"<answer>-?\d+</answer>", capsys.readouterr().out)


STEPWISE = {
    "beam_search": "beam-2x3",
    "dvts": "dvts-6x3",
    "rebase": "rebase-6",
    "particle_filtering": "particles-6",
    "mcts": "mcts-3",
    "tree_of_thoughts": "tot-2x3",
    "rstar": "rstar-2",
    "revise": "revise-2x3",
}


@pytest.mark.parametrize("kind", sorted(STEPWISE))
def test_every_search_by_its_short_name(client: OpenAI, kind: str) -> None:
    fields: dict[str, Any] = {"model": f"tiny:{STEPWISE[kind]}", "messages": messages(0), "seed": 5, "temperature": 0.8}
    first, again = (client.chat.completions.create(**fields) for _ in range(2))
    report = (first.model_extra or {})["deliberation"]
    assert report["strategy"]["kind"] == kind
    assert report["verifier"] == (None if kind == "rstar" else {"kind": "likelihood"})
    assert any(candidate["status"] == "finished" for candidate in report["candidates"])
    assert first.usage is not None and first.usage.completion_tokens == report["tokens"]
    assert again.choices[0].message.content == first.choices[0].message.content, "the same seed, the same answer"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("way", ["body", "header", "suffix"])
@pytest.mark.parametrize("kind", sorted(SHORT_NAMES))
def test_every_strategy_by_every_way(client: OpenAI, kind: str, way: str, streamed: bool) -> None:
    short = SHORT_NAMES[kind]
    chosen: dict[str, dict[str, Any]] = {
        "body": {"model": "tiny", "extra_body": {"strategy": {"kind": kind} | ({} if kind == "none" else {"n": 8})}},
        "header": {"model": "tiny", "extra_headers": {"X-Deliberate-Strategy": short}},
        "suffix": {"model": f"tiny:{short}"},
    }
    fields: dict[str, Any] = {"messages": messages(0), "seed": 5, "temperature": 0.8} | chosen[way]
    if streamed:
        chunks = list(client.chat.completions.create(**fields, stream=True))
        content = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        deliberation = next(d for c in reversed(chunks) if (d := (c.model_extra or {}).get("deliberation")))
    else:
        reply = client.chat.completions.create(**fields)
        content, deliberation = reply.choices[0].message.content or "", (reply.model_extra or {})["deliberation"]
    assert re.fullmatch(r"<answer>-?\d+</answer>", content)
    assert deliberation["strategy"]["kind"] == kind
    assert deliberation["fallback"] is None


@pytest.mark.parametrize(("effort", "kind"), [("none", "none"), ("medium", "adaptive_vote"), ("high", "best_of_n")])
def test_effort_chooses_too(client: OpenAI, effort: Any, kind: str) -> None:
    reply = client.chat.completions.create(model="tiny", messages=messages(1), reasoning_effort=effort)
    assert (reply.model_extra or {})["deliberation"]["strategy"]["kind"] == kind


def test_the_same_seed_gives_the_same_reply_in_a_crowd(base_url: str) -> None:
    async def ask(client: AsyncOpenAI, index: int, seed: int) -> Any:
        reply = await client.chat.completions.create(model="tiny:vote-4", messages=messages(index), seed=seed)
        return [c["text"] for c in (reply.model_extra or {})["deliberation"]["candidates"]]

    async def both() -> None:
        async with AsyncOpenAI(base_url=base_url, api_key="-") as client:
            alone = await ask(client, 2, 7)
            crowd = await asyncio.gather(ask(client, 2, 7), *(ask(client, i, i) for i in range(12)))
            assert crowd[0] == alone

    asyncio.run(both())


def test_search_is_right_more_often_than_a_single_sample(base_url: str) -> None:
    async def right(model: str) -> int:
        async with AsyncOpenAI(base_url=base_url, api_key="-") as client:

            async def one(index: int) -> bool:
                reply = await client.chat.completions.create(
                    model=model, messages=messages(index), seed=index, temperature=0.8
                )
                return final_answer(reply.choices[0].message.content or "") == PROBLEMS[index].answer

            return sum(await asyncio.gather(*map(one, range(len(PROBLEMS)))))

    assert asyncio.run(right("tiny:best-of-16")) > asyncio.run(right("tiny"))


def test_a_client_that_goes_away_leaves_nothing_running(base_url: str) -> None:
    body = {
        "model": "tiny",
        "messages": messages(3),
        "strategy": "vote-256",
        "temperature": 2,
        "logit_bias": {"3": -100, "4": -100},
        "stream": True,
    }
    with httpx.stream("POST", f"{base_url}/chat/completions", json=body) as reply:
        assert reply.status_code == 200
        deadline = time.monotonic() + 10
        while running(base_url) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert running(base_url) > 0
    time.sleep(1)
    assert running(base_url) == 0


def test_two_hundred_impatient_clients(base_url: str) -> None:
    async def flood() -> None:
        async with AsyncOpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=0.5) as client:

            async def impatient(i: int) -> bool:
                try:
                    await client.chat.completions.create(
                        model="tiny:vote-4", messages=messages(i % 8), seed=i, temperature=2, max_tokens=900
                    )
                except APITimeoutError:
                    return True
                return False

            gave_up = await asyncio.gather(*map(impatient, range(200)))
            assert sum(gave_up) > 50

    asyncio.run(flood())
    start = time.monotonic()
    with OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=5) as client:
        client.chat.completions.create(model="tiny", messages=messages(4), max_tokens=100)
    assert time.monotonic() - start < 5


def test_verify_any_text(base_url: str) -> None:
    body = {
        "verifier": [{"kind": "calculator", "weight": 2}, {"kind": "reference", "answer": PROBLEMS[0].answer}],
        "messages": messages(0),
        "candidates": [PROBLEMS[0].solution, "<think>\n1 + 1 = 3\n</think>\n<answer>0</answer>"],
    }
    right, wrong = httpx.post(f"{base_url}/verify", json=body, timeout=60).json()["data"]
    assert (right["passed"], right["score"], right["status"]) == (True, 1, "ok")
    assert (wrong["passed"], wrong["score"]) == (False, 0)


def test_completions_draw_what_a_search_draws(base_url: str, client: OpenAI) -> None:
    """Equal prompts and engine seeds give equal samples, whoever asks; and a text scores as it was sampled."""
    whole = client.chat.completions.create(
        model="tiny:vote-4", messages=messages(0), seed=5, temperature=0.8, max_tokens=64
    )
    candidates = (whole.model_extra or {})["deliberation"]["candidates"]
    tokens = httpx.post(f"{base_url.removesuffix('/v1')}/tokenize", json={"messages": messages(0)}).json()["tokens"]
    plain: Any = {"model": "tiny", "temperature": 0.8, "logprobs": 0, "extra_body": {"return_token_ids": True}}
    samples = client.completions.create(**plain, prompt=tokens, n=4, seed=spread(5), max_tokens=64)
    assert [choice.text for choice in samples.choices] == [candidate["text"] for candidate in candidates]

    sampled = samples.choices[0]
    ids = (sampled.model_extra or {})["token_ids"]
    scored = client.completions.create(**plain, prompt=[*tokens, *ids], echo=True, max_tokens=1)
    assert sampled.logprobs is not None and scored.choices[0].logprobs is not None
    own, again = sampled.logprobs.token_logprobs, scored.choices[0].logprobs.token_logprobs
    assert own is not None and again is not None
    assert again[len(tokens) : -1] == pytest.approx(own, abs=1e-3)
