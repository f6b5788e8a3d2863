"""Real servers of our own over real vLLMs: in the same process, behind it, and killed under its searches."""

import asyncio
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deliberate.models import bundled

from .engines.tiny_models import make_reward_model
from .engines.vllm_server import DELIBERATE, ServerProcess, await_health, start, start_vllm
from .engines.with_vllm import EAGER, HEADS, NEEDS_VLLM, SMALL, STARTS_VLLM

pytestmark = [NEEDS_VLLM, STARTS_VLLM, pytest.mark.timeout(400)]

OPTIONS = [*EAGER, "--no-enable-chunked-prefill"]
QUESTION = "Mia has {} apples. She buys 30 more. She gives away half. How many are left?"


@dataclass(frozen=True)
class Fleet:
    replicas: list[ServerProcess]
    url: str
    """Of the Deliberate before them."""
    folder: Path
    model: Path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet, None, None]:
    folder, model = tmp_path_factory.mktemp("fleet"), bundled("tiny")
    logs = [folder / f"vllm-{i}.log" for i in range(2)]
    with ExitStack() as stack:
        replicas = [stack.enter_context(start_vllm(model, log, OPTIONS)) for log in logs]
        for replica, log in zip(replicas, logs, strict=True):
            await_health(replica, log)
        upstreams = [word for replica in replicas for word in ("--upstream", replica.url)]
        log = folder / "deliberate.log"
        server = stack.enter_context(start([*DELIBERATE, "--served-model-name", "fleet", *upstreams], log))
        await_health(server, log)
        yield Fleet(replicas, server.url, folder, model)


async def search(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = {
        "model": "fleet:vote-4",
        "messages": [{"role": "user", "content": QUESTION.format(12 + 2 * number)}],
        "seed": number,
        "max_tokens": 96,
        # Nothing but the limit ends a sample, so that all searches are long.
        "logit_bias": {"4": -100},
    }
    return await client.post("/chat/completions", json=body)


async def test_killing_replicas(fleet: Fleet) -> None:
    async with httpx.AsyncClient(base_url=fleet.url, timeout=120) as client:
        plain = await search(client, 0)
        assert plain.status_code == 200, plain.text

        # One of two, in the middle of 50 searches: none is lost, and none of their samples.
        searches = [asyncio.create_task(search(client, number)) for number in range(50)]
        await _half_way(client, searches)
        fleet.replicas[0].kill()
        replies = await asyncio.gather(*searches)
        assert [reply.status_code for reply in replies] == [200] * 50
        for reply in replies:
            candidates = reply.json()["deliberation"]["candidates"]
            assert [(c["status"], c["tokens"]) for c in candidates] == [("truncated", 96)] * 4

        # Both: refused in time, with a time to come back.
        fleet.replicas[1].kill()
        begun = time.monotonic()
        refused = await search(client, 1)
        assert time.monotonic() - begun < 30
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) > 0
        assert all(replica.url in refused.json()["error"]["message"] for replica in fleet.replicas)
        assert (await client.get(fleet.url.removesuffix("/v1") + "/health")).status_code == 503

        # One returns at its old address: so does the service, by itself.
        port = int(fleet.replicas[0].url.rpartition(":")[2].removesuffix("/v1"))
        log = fleet.folder / "returned.log"
        with start_vllm(fleet.model, log, OPTIONS, port) as returned:
            await asyncio.to_thread(await_health, returned, log)
            async with asyncio.timeout(15):
                while (await search(client, 2)).status_code != 200:
                    await asyncio.sleep(0.5)


async def _half_way(client: httpx.AsyncClient, searches: list["asyncio.Task[httpx.Response]"]) -> None:
    """Until some of them have ended and most have not."""
    while sum(task.done() for task in searches) < 5:
        await asyncio.sleep(0.01)
    assert sum(not task.done() for task in searches) > 20


def test_vllm_in_our_process(tmp_path: Path) -> None:
    """vLLM's own options follow the model's name."""
    log = tmp_path / "log"
    with start([*DELIBERATE, "tiny", "--engine", "vllm", *SMALL, *EAGER, "--max-num-seqs", "8"], log) as server:
        await_health(server, log)
        body = {
            "model": "tiny:best-of-8@calculator",
            "messages": [{"role": "user", "content": QUESTION.format(12)}],
            "seed": 1,
        }
        reply = httpx.post(f"{server.url}/chat/completions", json=body, timeout=60)
        choices = httpx.post(
            f"{server.url}/chat/completions",
            json=body | {"model": "tiny", "structured_outputs": {"choice": ["apples", "pears"]}},
            timeout=60,
        )
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"] == "<answer>21</answer>"
    assert choices.json()["choices"][0]["message"]["content"] in ("apples", "pears")


def test_a_reward_model_behind_an_upstream(tmp_path: Path) -> None:
    """The policy embedded here, its judge on a vLLM that pools."""
    folder, log = make_reward_model(tmp_path / "judge", **HEADS), tmp_path / "judge.log"
    with start_vllm(folder, log, [*EAGER, "--runner", "pooling"]) as judge:
        await_health(judge, log)
        words = [*DELIBERATE, "tiny", "--verifier-upstream", judge.url]
        with start(words, tmp_path / "deliberate.log") as server:
            await_health(server, tmp_path / "deliberate.log")
            body = {"model": "tiny:best-of-4", "messages": [{"role": "user", "content": QUESTION.format(12)}]}
            reply = httpx.post(f"{server.url}/chat/completions", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    deliberation = reply.json()["deliberation"]
    assert deliberation["verifier"] == {"kind": "reward_model"}
    assert deliberation["fallback"] is None
    assert all(candidate["verdict"] == "ok" for candidate in deliberation["candidates"])
    best = max(deliberation["candidates"], key=lambda candidate: candidate["score"])
    assert best["chosen"] == 0
