"""Traces: what is kept of a search, for whom and how long; the events alone give the reply again."""

import json
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, fields
from typing import Any

import httpx
import pytest

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.events import Event
from deliberate.search.trace import read_event
from deliberate.server.answers import complete
from deliberate.server.arrival import Arrival
from deliberate.server.chat import Chat, prepare_chat
from deliberate.server.chunks import stream
from deliberate.server.replies import DeliberationTrace
from deliberate.server.requests import ChatRequest
from deliberate.server.serving import Pool, ServedModel
from deliberate.server.settings import Settings
from deliberate.server.state import Server
from deliberate.server.traces import Trace, Traces
from deliberate.server.tracing import trace_of
from deliberate.verifiers.workers import WorkerPool

from .support import CANDIDATES, MESSAGES, Live, live
from .test_budget import BEAM, stepwise
from .test_going_away import until

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"n": 2, "logprobs": True, "top_logprobs": 1},
    "best-of-4": {"strategy": "best-of-4@calculator"},
    "adaptive": {"strategy": "adaptive-vote-8", "n": 2},
    "beam": {"strategy": BEAM},
    "beam, cut": {"strategy": BEAM, "budget": {"max_tokens_total": 60}},
    "lookahead": {"strategy": BEAM | {"lookahead": 1}},
    "dvts": {"strategy": "dvts-4x2@calculator"},
    "rebase": {"strategy": "rebase-4@calculator"},
    "particles": {"strategy": "particles-4@calculator"},
    "mcts": {"strategy": "mcts-4@calculator"},
    "rstar": {"strategy": "rstar-4"},
    "thoughts": {"strategy": "tot-2x2@calculator"},
    "revise": {"strategy": "revise-2@calculator"},
    "questions first": {"strategy": "vote-2", "prompt": "least_to_most"},
}


@pytest.fixture(scope="module")
def steps() -> Iterator[Live]:
    with live(engine=ScriptedEngine(stepwise), progress_seconds=0) as server:
        yield server


def trace(server: Live, reply: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return server.http.get(f"/v1/deliberations/{reply['deliberation']['id']}", headers=headers)


def lines(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Chat):
    """A chat whose search is what a trace says."""

    events_of_old: list[Event]

    async def run(self) -> AsyncGenerator[Event, None]:
        for event in self.events_of_old:
            yield event


def replayed(kept: dict[str, Any], reply: dict[str, Any], body: dict[str, Any]) -> Replayed:
    """The same request with nothing but the trace's events: its engine fails whoever asks it."""
    engine = ScriptedEngine([Reply("", finish="error")])
    settings = Settings(verifier="calculator", progress_seconds=0)
    server = Server.of(settings, Pool([ServedModel("tiny", engine, created=1)], WorkerPool()))
    chat = prepare_chat(server, ChatRequest.model_validate(body), Arrival())
    own: dict[str, Any] = {field.name: getattr(chat, field.name) for field in fields(chat)}
    sent = json.loads(json.dumps(kept["events"]))
    events = [read_event(entry)[0] for entry in sent]
    own |= {"id": reply["id"], "created": reply["created"], "events_of_old": events}
    return Replayed(**own)


def without_times(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply or chunk, without what differs between two runs of the same search."""
    timeless: dict[str, Any] = reply | {"system_fingerprint": None}
    if timeless.get("deliberation") is not None:
        timeless["deliberation"] = timeless["deliberation"] | {"seconds": 0, "verifier_seconds": 0}
    return timeless


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_same_events_give_the_same_reply(steps: Live, name: str) -> None:
    body = {"model": "tiny", "messages": MESSAGES, "seed": 3} | REQUESTS[name]
    reply = steps.http.post("/v1/chat/completions", json=body).json()
    kept = trace(steps, reply).json()
    again = replayed(kept, reply, body)
    assert without_times((await complete(again)).model_dump(mode="json")) == without_times(reply)
    assert again.model.engine.stats.generated_tokens_total == 0
    assert reply["usage"]["completion_tokens"] == sum(event.spent for event in again.events_of_old) > 0


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_same_events_give_the_same_stream(steps: Live, name: str) -> None:
    body = {"model": "tiny", "messages": MESSAGES, "seed": 3, "stream": True} | REQUESTS[name]
    chunks = lines(steps.http.post("/v1/chat/completions", json=body).text)
    kept = trace(steps, chunks[-1]).json()
    async with aclosing(stream(replayed(kept, chunks[-1], body))) as again:
        repeated = [json.loads(chunk) async for chunk in again]
    assert list(map(without_times, repeated)) == list(map(without_times, chunks))


def test_what_a_trace_says(steps: Live) -> None:
    reply = steps.chat(strategy=BEAM, seed=3, prompt="zero_shot_cot").json()
    report, kept = reply["deliberation"], trace(steps, reply).json()
    for key in ("id", "strategy", "verifier", "prompt", "seed"):
        assert kept[key] == report[key]
    assert (kept["object"], kept["model"], kept["created"], kept["error"]) == (
        "deliberation",
        "tiny",
        reply["created"],
        None,
    )
    assert kept["prompt_tokens"] == reply["usage"]["prompt_tokens"]
    at = [event["at"] for event in kept["events"]]
    assert at == sorted(at)
    assert 0 <= at[0] <= at[-1] <= kept["seconds"]
    kinds = [event["kind"] for event in kept["events"]]
    assert kinds.count("expanded") == report["steps"]["drawn"]
    assert kinds.count("chosen") == 1
    assert kinds[-1] == "chosen"


def test_evidence_is_the_verifiers_own(steps: Live) -> None:
    reply = steps.chat(strategy=BEAM | {"verifier": {"kind": "likelihood"}}).json()
    scored = [event for event in trace(steps, reply).json()["events"] if event["kind"] == "scored"]
    assert scored
    assert not any("evidence" in event["verdict"] for event in scored)


def test_an_unknown_id_is_a_404(steps: Live) -> None:
    missing = steps.http.get("/v1/deliberations/dlb-0")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "deliberation_not_found"
    assert "'dlb-0'" in missing.json()["error"]["message"]


def test_a_caller_sees_only_what_its_own_key_made() -> None:
    with live(api_key="first, second") as server:
        body = {"model": "tiny", "messages": MESSAGES}
        headers = {"authorization": "Bearer second"}
        reply = server.http.post("/v1/chat/completions", json=body, headers=headers).json()
        assert trace(server, reply, "second").status_code == 200
        assert trace(server, reply).status_code == 401
        foreign, unknown = trace(server, reply, "first"), server.http.get("/v1/deliberations/x", headers=headers)
        assert foreign.status_code == unknown.status_code == 404
        told = foreign.json()["error"]["message"].replace(reply["deliberation"]["id"], "x")
        assert told == unknown.json()["error"]["message"]


def test_a_search_that_fails_leaves_what_there_is() -> None:
    with live([Reply("lost", finish="error")]) as server:
        chunks = lines(server.chat(strategy="vote-2", stream=True).text)
        kept = server.http.get(f"/v1/deliberations/{chunks[0]['id'].replace('chatcmpl-', 'dlb-')}").json()
    assert [event["kind"] for event in kept["events"]] == ["failed", "failed"]
    assert kept["error"] == chunks[-1]["error"]["message"]


@pytest.mark.parametrize("cause", ["client", "deadline"])
def test_a_search_that_is_stopped_leaves_what_there_is(cause: str) -> None:
    script = [Reply("<answer>2</answer>"), Reply("x" * 2000, seconds_per_token=0.01)]
    with live(script, request_timeout_seconds=1 if cause == "deadline" else 30, progress_seconds=0) as server:
        body = {"model": "tiny", "messages": MESSAGES, "strategy": "vote-2", "stream": True}
        with server.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            name = ""
            for line in reply.iter_lines():
                name = name or (line and lines(line)[0]["id"].replace("chatcmpl-", "dlb-"))
                if cause == "client" and "Sampled 1 of 2" in line:
                    break
        found: list[httpx.Response] = []

        def kept() -> bool:
            found.append(server.http.get(f"/v1/deliberations/{name}"))
            return found[-1].status_code == 200

        assert until(kept)
        assert server.engine.stats.running == 0
    stopped = found[-1].json()
    assert [event["kind"] for event in stopped["events"]] == ["sampled"]
    assert ("client went away" if cause == "client" else "1 s") in stopped["error"]


class TestBounds:
    def test_time(self) -> None:
        with live(trace_seconds=0.3) as server:
            reply = server.chat().json()
            assert trace(server, reply).status_code == 200
            assert until(lambda: trace(server, reply).status_code == 404)

    def test_none_are_kept_for_no_time(self) -> None:
        with live(trace_seconds=0) as server:
            assert trace(server, server.chat().json()).status_code == 404

    def test_number(self) -> None:
        with live(max_traces=2) as server:
            replies = [server.chat().json() for _ in range(4)]
            assert [trace(server, reply).status_code for reply in replies] == [404, 404, 200, 200]

    def test_memory(self) -> None:
        with live(["x" * 1000], max_trace_bytes=600_000) as server:
            replies = [server.chat(strategy="vote-3").json() for _ in range(4)]
            statuses = [trace(server, reply).status_code for reply in replies]
            assert statuses == sorted(statuses, reverse=True)
            assert statuses[0] == 404
            assert statuses[-1] == 200
            large = server.chat(strategy="vote-16").json()
            assert trace(server, large).status_code == 404, "by itself it is larger than all may be"

    async def test_the_estimate_is_near_what_a_trace_takes(self) -> None:
        settings = Settings(verifier="calculator", trace_seconds=0)
        engine = ScriptedEngine(["".join(map(str, range(400)))])
        server = Server.of(settings, Pool([ServedModel("tiny", engine)], WorkerPool()))
        body = {"model": "tiny", "messages": MESSAGES, "strategy": "vote-8"}
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        chat = prepare_chat(server, ChatRequest.model_validate(body), Arrival())
        await complete(chat)
        kept: Trace = trace_of(chat)
        del chat
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert taken / 4 < kept.size < taken * 4


def test_traces_go_in_the_order_of_their_age() -> None:
    now = 0.0
    traces = Traces(Settings(trace_seconds=10), lambda: now)
    with live(CANDIDATES) as server:
        head = trace(server, server.chat().json()).json() | {"events": []}
    for name in ("a", "b"):
        traces.keep(Trace(DeliberationTrace.model_validate(head | {"id": name}), (), (), None))
        now += 6
    with pytest.raises(InvalidRequest, match="'a' is kept"):
        traces.find("a", None)
    assert traces.find("b", None).head.id == "b"


def test_a_trace_can_be_read_while_others_search(steps: Live) -> None:
    reply = steps.chat(strategy=BEAM).json()
    threads = [threading.Thread(target=lambda: steps.chat(strategy=BEAM)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert all(trace(steps, reply).status_code == 200 for _ in range(4))
    for thread in threads:
        thread.join(timeout=10)
