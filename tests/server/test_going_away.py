"""A client that goes away takes its work with it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from deliberate.engines.scripted import Reply, ScriptedEngine

from .support import MESSAGES, Live, live


@pytest.fixture
def slow() -> Iterator[Live]:
    """Every token takes 50 ms and there is no end, except for who asks for a short answer."""
    endless = Reply("x" * 2000, seconds_per_token=0.05)

    def script(prompt: str, number: int) -> Reply:
        return Reply("short") if "short" in prompt else endless

    with live(engine=ScriptedEngine(script)) as server:
        yield server


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it came true in time. What it waits for takes hundredths of seconds; the machine may have other work."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def ask_and_leave(url: str, body: dict[str, Any], ready: Callable[[Sequence[str]], bool]) -> None:
    """Ask, and hang up as soon as that holds of the lines that came so far; fail where the reply ends before."""
    asyncio.run(_ask_and_leave(url, body, ready))


async def _ask_and_leave(url: str, body: dict[str, Any], ready: Callable[[Sequence[str]], bool]) -> None:
    lines: list[str] = []

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=30) as client, client.stream("POST", url, json=body) as reply:
            async for line in reply.aiter_lines():
                lines.append(line)

    asking = asyncio.create_task(ask())
    while not ready(lines) and not asking.done():
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


@pytest.mark.parametrize("strategy", ["none", "vote-4", "adaptive-vote-8", "best-of-4@calculator"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_is_idle_soon(slow: Live, strategy: str, stream: bool) -> None:
    body = {"model": "tiny", "messages": MESSAGES, "strategy": strategy, "stream": stream}

    def begun(lines: Sequence[str]) -> bool:
        return slow.engine.stats.running > 0 and (not stream or any(line.startswith("data") for line in lines))

    ask_and_leave(f"{slow.url}/v1/chat/completions", body, begun)
    assert len(slow.engine.calls) == 1
    assert until(lambda: slow.engine.stats.running == 0)
    assert until(lambda: "deliberate_slots_in_use 0.0" in slow.http.get("/metrics").text)


def test_many_clients_with_short_timeouts(slow: Live) -> None:
    body = {"model": "tiny:vote-4", "messages": MESSAGES}

    def ask(client: httpx.Client, number: int) -> None:
        with pytest.raises(httpx.TimeoutException):
            client.post("/v1/chat/completions", json=body | {"stream": number % 2 == 0}, timeout=0.5)

    limits = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=slow.url, limits=limits) as client, ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: ask(client, number), range(200)))
    start = time.monotonic()
    reply = slow.chat(messages=[{"role": "user", "content": "short"}])
    assert reply.json()["choices"][0]["message"]["content"] == "short"
    assert time.monotonic() - start < 5
    assert until(lambda: slow.engine.stats.running == 0)
    assert "deliberate_slots_in_use 0.0" in slow.http.get("/metrics").text


def test_a_deadline_ends_the_search() -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)], request_timeout_seconds=0.2) as server:
        reply = server.chat(strategy="vote-2")
        assert reply.status_code == 504
        assert reply.json()["error"]["code"] == "timeout"
        assert reply.headers["x-should-retry"] == "false"
        assert until(lambda: server.engine.stats.running == 0)
        streamed = server.chat(strategy="vote-2", stream=True)
        assert streamed.status_code == 200
        assert '"code": "timeout"' in streamed.text.splitlines()[-2]


def test_shutdown_waits_for_running_requests() -> None:
    outcomes: list[int | str] = []
    with live([Reply("x" * 10, seconds_per_token=0.05)], drain_timeout_seconds=9) as server:
        asking = ask_in_background(server, outcomes)
        # Leaving the block stops the server while the answer is still being written.
    asking.join(timeout=5)
    assert outcomes == [200]


def test_shutdown_does_not_wait_for_ever() -> None:
    outcomes: list[int | str] = []
    with live([Reply("x" * 2000, seconds_per_token=0.05)]) as server:
        asking = ask_in_background(server, outcomes)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    asking.join(timeout=5)
    assert outcomes == [503]
    assert server.engine.stats.running == 0


def ask_in_background(server: Live, outcomes: list[int | str]) -> threading.Thread:
    """A request on its way, on a connection of its own; its status or its error is added to `outcomes`."""

    def ask() -> None:
        try:
            reply = httpx.post(f"{server.url}/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES})
            outcomes.append(reply.status_code)
        except httpx.HTTPError as error:
            outcomes.append(type(error).__name__)

    asking = threading.Thread(target=ask)
    asking.start()
    assert until(lambda: server.engine.stats.running == 1)
    return asking
