"""What upstreams do wrong becomes a clear error, in bounded time."""

import asyncio
import json
import time

import pytest

from deliberate.engines.errors import DeliberateError, InvalidRequest, UpstreamFailed
from deliberate.engines.protocol import Conversation, Prompt, Sampling

from ..sampling import until_idle
from .conftest import MakeEngine, MakeUpstream
from .fake_upstream import PROMPT, Fault

EVENTS = {"content-type": "text/event-stream"}
ASKED = Prompt((65,) * PROMPT, Conversation(({"role": "user", "content": "Tell a story."},)))


def refused(message: str, **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **fields}}).encode()


@pytest.mark.parametrize("owner", ["vllm", "somebody"], ids=["vllm", "chat"])
@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        pytest.param(
            Fault(status=401, body=refused("no such key")), UpstreamFailed, "no such key.*--upstream", id="key"
        ),
        pytest.param(Fault(status=404, body=b"{}"), UpstreamFailed, "'story'.*has story", id="model"),
        pytest.param(Fault(status=400, body=refused("odd field")), InvalidRequest, "odd field", id="request"),
        pytest.param(Fault(status=418, body=b"teapot"), UpstreamFailed, "418: teapot", id="status"),
        pytest.param(Fault(status=500, body=b"oh"), UpstreamFailed, "500: oh", id="crash"),
        pytest.param(Fault(body=b"<html>hello"), UpstreamFailed, "ended its stream", id="no-events"),
        pytest.param(
            Fault(headers={"content-type": "text/html"}, body=b"<html>hello"), UpstreamFailed, "<html>hello", id="html"
        ),
        pytest.param(Fault(body=b"data: {nonsense\n\n"), UpstreamFailed, "{nonsense", id="not-json"),
        pytest.param(Fault(body=b'data: {"choices": 3}\n\n'), UpstreamFailed, "choices.*3", id="shape"),
        pytest.param(Fault(body=b"data: " + refused("GPU lost") + b"\n\n"), UpstreamFailed, "GPU lost", id="event"),
        pytest.param(Fault(after=2, then="end"), UpstreamFailed, "ended its stream", id="no-end"),
        pytest.param(Fault(after=2, then="drop"), UpstreamFailed, "broke off", id="dropped"),
        pytest.param(Fault(then="hang"), UpstreamFailed, "silent for 0.2 s", id="hang"),
    ],
)
async def test_a_bad_answer_is_a_clear_error(
    owner: str, fault: Fault, kind: type[DeliberateError], message: str, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(owner=owner)
    server.fault_of = lambda body: fault
    engine = engine_of(server, timeout_seconds=0.2)
    began = time.monotonic()
    with pytest.raises(kind, match=message) as caught:
        [delta async for delta in engine.generate(ASKED, Sampling(max_tokens=30))]
    assert time.monotonic() - began < 12
    assert server.url in str(caught.value)
    await until_idle(engine)


async def test_a_context_overflow_keeps_its_code(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    body = refused("This model's maximum context length is 9 tokens.", code="context_length_exceeded")
    server = upstream(owner="somebody", faults=[Fault(status=400, body=body)])
    with pytest.raises(InvalidRequest) as caught:
        [delta async for delta in engine_of(server).generate(ASKED, Sampling())]
    assert caught.value.code == "context_length_exceeded"


async def test_retry_after_is_honoured(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(faults=[Fault(status=429, headers={"retry-after": "1"}, body=refused("slow down"))])
    began = time.monotonic()
    got = [delta async for delta in engine_of(server).generate(ASKED, Sampling(max_tokens=3))]
    assert time.monotonic() - began >= 1
    assert got[-1].finish is not None
    assert got[-1].finish.reason == "length"


async def test_scores_survive_a_bad_answer(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    choice = {"logprobs": {"top_logprobs": [{"token_id:66": -1.5}]}, "prompt_logprobs": None}
    good = Fault(headers={"content-type": "application/json"}, body=json.dumps({"choices": [choice]}).encode())
    server = upstream(faults=[Fault(status=502), Fault(headers=good.headers, body=b"<html>"), good])
    assert await engine_of(server).next_logprobs([[65, 65]], [[1]], [66]) == [((-1.5,),)]


async def test_waiting_for_a_place_is_told_and_ends(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    """Concurrency counts samples."""
    server = upstream(token_seconds=0.01)
    engine = engine_of(server, concurrency=4)

    async def ask() -> None:
        [delta async for delta in engine.generate(ASKED, Sampling(max_tokens=20), 2)]

    tasks = [asyncio.create_task(ask()) for _ in range(5)]
    async with asyncio.timeout(5):
        while engine.stats.waiting < 6:
            await asyncio.sleep(0.001)
    assert engine.stats.running == 4
    assert server.running <= 2
    tasks.pop().cancel()
    await asyncio.gather(*tasks)
    await until_idle(engine)
    assert len(server.asked) == 4
