"""POST /v1/verify with many problems in one request, and with candidates that tell more than their text."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from deliberate.verifiers.calculator import Calculator
from deliberate.verifiers.json_document import JsonDocument
from deliberate.verifiers.protocol import Attachment, Candidate, Judges, Problem, Verdict

from .support import MESSAGES, Live, live
from .test_going_away import ask_and_leave, until

ITEMS: list[dict[str, Any]] = [
    {"id": "sum", "messages": MESSAGES, "candidates": ["1 + 1 = 2", "1 + 1 = 3", "no sum"]},
    {
        "id": 7,
        "messages": MESSAGES,
        "candidates": ["The answer is 2.0", {"text": "3"}],
        "verifier": {"kind": "reference", "answer": "2"},
    },
    {"messages": MESSAGES, "candidates": ["{}"], "verifier": ["json", {"kind": "regex", "pattern": "x", "weight": 3}]},
]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(queue_limit=8) as shared:
        yield shared


@dataclass
class Recorder:
    """Keeps what it is asked, and waits on demand."""

    asked: list[tuple[Problem, list[Candidate]]]
    waits: bool = False
    cancelled: int = 0

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.asked.append((problem, list(candidates)))
        try:
            if self.waits:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        picture = Attachment.of("screenshot", "image/jpeg", b"a picture")
        return [Verdict(1.0, True, attachments=(picture,))] * len(candidates)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In the place of the verifier `json`."""
    recorder = Recorder([])
    monkeypatch.setattr(JsonDocument, "build", lambda *_: recorder)
    return recorder


def test_each_problem_has_its_own_verifier_or_the_shared_one(server: Live) -> None:
    reply = server.http.post("/v1/verify", json={"verifier": "calculator", "items": ITEMS}).json()
    assert reply["object"] == "list"
    assert [(group["index"], group["id"]) for group in reply["data"]] == [(0, "sum"), (1, 7), (2, None)]
    assert [group["verifier"]["kind"] for group in reply["data"]] == ["calculator", "reference", "ensemble"]
    scores = [[verdict["score"] for verdict in group["verdicts"]] for group in reply["data"]]
    assert scores == [[1.0, 0.0, None], [1.0, 0.0], [0.25]]
    assert reply["data"][0]["verdicts"][2]["status"] == "unavailable"
    assert (reply["usage"]["verdicts"], reply["usage"]["undecided"]) == (6, 1)
    assert 0 < reply["usage"]["seconds"] < 10
    metrics = server.http.get("/metrics").text
    assert 'deliberate_verdicts_total{model="tiny",status="unavailable",verifier="calculator"} 1.0' in metrics


def test_one_problem_has_usage_too(server: Live) -> None:
    reply = server.http.post("/v1/verify", json={"verifier": "calculator"} | ITEMS[0] | {"id": None})
    assert reply.status_code == 400, "an id is for one of many"
    body = {"verifier": "calculator", "messages": MESSAGES, "candidates": ["1 + 1 = 2", "?"]}
    reply = server.http.post("/v1/verify", json=body).json()
    assert (reply["usage"]["verdicts"], reply["usage"]["undecided"]) == (2, 1)
    assert [verdict["answer"] for verdict in reply["data"]] == [None, None]


WRONG: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "option of a verifier": (
        {"verifier": {"kind": "reference", "answer": ""}},
        "items[3].verifier.answer",
        ["items[3].verifier.answer", "at least 1 character"],
    ),
    "unknown kind": ({"verifier": "oracle"}, "items[3].verifier", ["items[3].verifier", "oracle", "calculator"]),
    "schema of a verifier": (
        {"verifier": {"kind": "json", "schema": {"type": "nothing"}}},
        "items[3].verifier",
        ["invalid JSON Schema"],
    ),
    "what is not served": (
        {"verifier": {"kind": "likelihood", "model": "huge"}},
        "items[3].verifier.model",
        ["items[3].verifier.model", "'huge'", "known: policy, tiny"],
    ),
    "no verifier": ({}, "items[3].verifier", ["items[3].verifier is missing", "kind"]),
    "unknown field": ({"verifier": "json", "candidate": "x"}, "items[3].candidate", ["'candidate'", "'candidates'"]),
    "no candidates": ({"verifier": "json", "candidates": []}, "items[3].candidates", ["at least 1 item"]),
    "a token too many": (
        {"verifier": "json", "candidates": ["x", {"text": "x", "token_ids": [1], "logprobs": [-1, -2]}]},
        "items[3].candidates[1]",
        ["1 token_ids, 2 logprobs"],
    ),
    "no such token": (
        {"verifier": "json", "candidates": ["x", {"text": "x", "token_ids": [999]}]},
        "items[3].candidates[1].token_ids",
        ["999", "0 to 256"],
    ),
    "no such tool": (
        {"verifier": "json", "tools": [{"type": "function", "function": {"name": "a b"}}]},
        "items[3].tools[0].function.name",
        ["'a b'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_wrong_problem_refuses_the_request_before_anything_runs(
    server: Live, recorder: Recorder, case: str
) -> None:
    fields, param, expected = WRONG[case]
    good = {"messages": MESSAGES, "candidates": ["{}"], "verifier": "json"}
    items = [good, good, good, {"messages": MESSAGES, "candidates": ["x"]} | fields]
    reply = server.http.post("/v1/verify", json={"items": items})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param
    for text in expected:
        assert text in reply.json()["error"]["message"]
    assert recorder.asked == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"verifier": "json"}, ["messages is missing", "or items"]),
        ({"verifier": "json", "messages": MESSAGES}, ["candidates is missing"]),
        ({"verifier": "json", "items": []}, ["items", "at least 1"]),
        ({"verifier": "json", "items": ITEMS, "messages": MESSAGES}, ["messages belongs to one problem"]),
        ({"messages": MESSAGES, "candidates": ["x"]}, ["verifier is missing"]),
        ({"verifier": "json", "items": [{**ITEMS[0], "candidates": ["x"] * 5}] * 2}, ["10 candidates", "at most 8"]),
    ],
)
def test_requests_that_are_neither_one_nor_many(server: Live, body: dict[str, Any], expected: list[str]) -> None:
    reply = server.http.post("/v1/verify", json=body)
    assert reply.status_code == 400
    for text in expected:
        assert text in reply.json()["error"]["message"]


def test_verifiers_see_all_that_is_known(server: Live, recorder: Recorder) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    candidate = {
        "text": "hi",
        "tool_calls": [call],
        "finished": False,
        "token_ids": [104, 105],
        "logprobs": [-0.5, -1],
        "top_logprobs": [[[104, -0.5], [1, -2]], [[105, -1]]],
    }
    asked = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    item = {"messages": MESSAGES, "candidates": [candidate, "plain"], **asked}
    assert server.http.post("/v1/verify", json={"verifier": "json", "items": [item]}).status_code == 200
    assert server.http.post("/v1/verify", json={"verifier": "json", **item}).status_code == 200
    for problem, (told, plain) in recorder.asked:
        assert problem.messages == tuple(MESSAGES)
        assert bytes(problem.prompt_ids).decode().endswith("assistant: ")
        assert (problem.tools, problem.tool_choice, problem.parallel_tool_calls) == ((TOOL,), "required", False)
        assert told.text == 'hi<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>'
        assert (told.token_ids, told.logprobs, told.finished) == ((104, 105), (-0.5, -1.0), False)
        assert told.top_logprobs == (((104, -0.5), (1, -2.0)), ((105, -1.0),))
        assert plain == Candidate("plain")
    assert len(recorder.asked) == 2


def test_what_there_is_to_see_is_sent(server: Live, recorder: Recorder) -> None:
    body = {"verifier": "json", "messages": MESSAGES, "candidates": ["{}"]}
    (verdict,) = server.http.post("/v1/verify", json=body).json()["data"]
    assert verdict["attachments"] == [{"name": "screenshot", "data_url": "data:image/jpeg;base64,YSBwaWN0dXJl"}]


def test_problems_are_judged_side_by_side_and_one_that_fails_costs_no_other(
    server: Live, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crashes(Recorder):
        async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
            raise RuntimeError("bug")

    monkeypatch.setattr(Calculator, "build", lambda *_: Crashes([]))
    items = [{**ITEMS[0], "verifier": verifier} for verifier in ("json", "calculator")]
    reply = server.http.post("/v1/verify", json={"items": items}).json()
    assert [[verdict["score"] for verdict in group["verdicts"]] for group in reply["data"]] == [[1.0] * 3, [None] * 3]
    assert reply["usage"]["undecided"] == 3


def test_a_client_that_leaves_takes_the_work_with_it(recorder: Recorder) -> None:
    recorder.waits = True
    with live(queue_limit=8) as server:
        body = {"verifier": "json", "items": [{**ITEMS[0], "id": number} for number in range(2)]}
        ask_and_leave(f"{server.url}/v1/verify", body, lambda _: len(recorder.asked) == 2)
        assert until(lambda: recorder.cancelled == 2)
        assert until(lambda: "deliberate_slots_in_use 0.0" in server.http.get("/metrics").text)


def test_a_batch_holds_a_slot_for_each_candidate(recorder: Recorder) -> None:
    recorder.waits = True
    with live(queue_limit=8) as server:
        body = {"verifier": "json", "items": [{**ITEMS[0], "id": number} for number in range(2)]}
        enough = threading.Event()
        address = f"{server.url}/v1/verify"
        asking = threading.Thread(target=lambda: ask_and_leave(address, body, lambda _: enough.is_set()))
        asking.start()
        assert until(lambda: "deliberate_slots_in_use 6.0" in server.http.get("/metrics").text)
        refused = server.http.post("/v1/verify", json=body)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        enough.set()
        asking.join()
        assert until(lambda: "deliberate_slots_in_use 0.0" in server.http.get("/metrics").text)


def test_a_request_that_takes_too_long_ends(recorder: Recorder) -> None:
    recorder.waits = True
    with live(request_timeout_seconds=0.3) as server:
        start = time.monotonic()
        reply = server.http.post("/v1/verify", json={"verifier": "json", "items": ITEMS[:1]})
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
        assert time.monotonic() - start < 5
        assert recorder.cancelled == 1
