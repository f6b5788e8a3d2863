"""Budgets of requests, clients and servers: what ends a search, and what is refused before any token."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from deliberate.engines.scripted import Reply, ScriptedEngine

from .support import MESSAGES, Live, live

READ_TIMEOUT = "x-stainless-read-timeout"
BEAM = {"kind": "beam_search", "width": 2, "expansions": 3, "verifier": {"kind": "calculator"}}


def stepwise(prompt: str, number: int) -> Reply:
    """Three steps, then an answer."""
    steps = prompt.count("\n\n")
    return Reply(f"<answer>{number % 2}</answer>") if steps >= 3 else Reply(f"{steps} + {number % 5} = 9\n\nnever")


def endless(prompt: str, number: int) -> Reply:
    """The first sample ends at once, the others never do."""
    return Reply("<answer>7</answer>") if number == 0 else Reply("x" * 4000, seconds_per_token=0.002)


@pytest.fixture(scope="module")
def steps() -> Iterator[Live]:
    with live(engine=ScriptedEngine(stepwise), max_tokens_total=5000, deadline_seconds=30, max_candidates=64) as server:
        yield server


class TestWhatEndsASearch:
    def test_nothing_but_the_search_itself(self, steps: Live) -> None:
        report = steps.chat(strategy=BEAM, seed=1).json()["deliberation"]
        assert report["limit"] is None
        assert report["reason"] == "6 chains ended"

    @pytest.mark.parametrize("stream", [False, True])
    def test_candidates(self, steps: Live, stream: bool) -> None:
        reply = ask(steps, stream, strategy=BEAM, budget={"max_candidates": 2}, seed=1)
        assert reply["limit"] == "max_candidates"
        assert reply["reason"].startswith("max_candidates = 2 was reached; ")
        assert [c["status"] for c in reply["candidates"]] == ["finished", "finished"]
        assert reply["finish_reason"] == "stop"

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("total", [1, 7, 60])
    def test_tokens(self, steps: Live, stream: bool, total: int) -> None:
        before = steps.engine.stats.generated_tokens_total
        reply = ask(steps, stream, strategy=BEAM, budget={"max_tokens_total": total}, seed=1)
        assert reply["limit"] == "max_tokens_total"
        running = 6
        assert total <= reply["tokens"] <= total + running
        assert steps.engine.stats.generated_tokens_total - before <= total + running
        assert reply["finish_reason"] == "length", "no chain of three steps and an answer is so short"
        assert steps.engine.stats.running == 0

    @pytest.mark.parametrize("strategy", ["vote-3", "best-of-3@calculator", "adaptive-vote-3"])
    def test_the_best_finished_answer_is_the_reply(self, strategy: str) -> None:
        for budget, limit in (({"max_tokens_total": 300}, "max_tokens_total"), ({"deadline_s": 0.5}, "deadline_s")):
            with live(engine=ScriptedEngine(endless)) as server:
                reply = ask(server, False, strategy=strategy, budget=budget)
                assert reply["limit"] == limit
                assert (reply["content"], reply["finish_reason"]) == ("<answer>7</answer>", "stop")
                assert server.engine.stats.running == 0

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_plain_sample_is_cut(self, stream: bool) -> None:
        with live(["abcdefgh"]) as server:
            reply = ask(server, stream, budget={"max_tokens_total": 3})
        assert (reply["content"], reply["finish_reason"], reply["limit"]) == ("abc", "length", "max_tokens_total")
        assert reply["tokens"] == 3

    def test_time_counts_from_the_requests_arrival(self) -> None:
        with live(engine=ScriptedEngine(endless)) as server:
            reply = ask(server, False, strategy="vote-3", budget={"deadline_s": 0.4})
        assert 0.4 <= reply["seconds"] < 4, "without it there are eight"

    @pytest.mark.parametrize("limit", [{"max_tokens_total": 300}, {"deadline_s": 3.0}])
    def test_what_has_ended_is_still_judged(self, limit: dict[str, float]) -> None:
        """The majority says 3, the verifier 2, and one sample never ends."""
        script = ["<answer>1 + 1 = 3</answer>", "<answer>1 + 1 = 3</answer>", "<answer>1 + 1 = 2</answer>"]
        with live([*script, Reply("x" * 4000, seconds_per_token=0.002)]) as server:
            reply = ask(server, False, strategy="best-of-4@calculator", budget=limit)
            assert reply["limit"] == next(iter(limit))
            assert reply["fallback"] is None
            assert reply["content"] == "<answer>1 + 1 = 2</answer>"
            assert reply["seconds"] < 3.0, "the last tenth is kept for the verifier"

    def test_nothing_is_left_for_the_search(self, steps: Live) -> None:
        asked = {"strategy": BEAM, "prompt": "least_to_most", "budget": {"max_tokens_total": 5}}
        failed = steps.chat(**asked)
        assert failed.status_code == 500
        assert "max_tokens_total = 5 was reached" in failed.json()["error"]["message"]

    def test_metrics_count_ends_by_limit(self) -> None:
        with live(engine=ScriptedEngine(stepwise)) as server:
            server.chat(strategy=BEAM)
            server.chat(strategy=BEAM, budget={"max_candidates": 1})
            server.chat(strategy=BEAM, budget={"max_tokens_total": 9})
            server.chat(strategy=BEAM, budget={"max_tokens_total": 9})
            text = server.http.get("/metrics").text
        for limit, count in (("max_candidates", 1), ("max_tokens_total", 2)):
            assert f'deliberate_budget_limits_reached_total{{limit="{limit}",model="tiny"}} {count}.0' in text
        assert 'limit="deadline_s"' not in text


class TestAClientsPatience:
    def test_it_is_a_deadline_with_a_margin(self) -> None:
        with live(engine=ScriptedEngine(endless)) as server:
            reply = ask(server, False, {READ_TIMEOUT: "0.5"}, strategy="vote-3")
        assert reply["limit"] == "deadline_s"
        assert reply["content"] == "<answer>7</answer>"
        assert 0.45 <= reply["seconds"] < 4, "without it there are eight"

    def test_the_official_client_gets_an_answer_before_it_gives_up(self) -> None:
        with live(engine=ScriptedEngine(endless)) as server:
            client = OpenAI(base_url=f"{server.url}/v1", api_key="-", timeout=2.0, max_retries=0)
            messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 1 + 1?"}]
            reply = client.chat.completions.create(model="tiny:vote-3", messages=messages)
            client.close()
        assert reply.choices[0].message.content == "<answer>7</answer>"

    def test_the_shorter_time_counts(self) -> None:
        with live(engine=ScriptedEngine(endless)) as server:
            reply = ask(server, False, {READ_TIMEOUT: "9"}, strategy="vote-3", budget={"deadline_s": 0.2})
            assert "deadline_s = 0.2 " in reply["reason"]
            reply = ask(server, False, {READ_TIMEOUT: "0.5"}, strategy="vote-3", budget={"deadline_s": 9})
            assert "deadline_s = 0.45 " in reply["reason"]

    def test_streams_are_kept_alive_instead(self) -> None:
        slow = Reply("<answer>7</answer>", seconds_per_token=0.02)
        with live([slow]) as server:
            reply = ask(server, True, {READ_TIMEOUT: "0.1"}, strategy="vote-2")
        assert (reply["content"], reply["limit"]) == ("<answer>7</answer>", None)

    @pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf", "-inf", "1e999", "0x10"])
    def test_what_is_no_number_of_seconds_is_ignored(self, steps: Live, value: str) -> None:
        reply = ask(steps, False, {READ_TIMEOUT: value}, strategy=BEAM)
        assert reply["limit"] is None


class TestTheServersCeilings:
    def test_they_hold_where_a_request_names_no_budget(self) -> None:
        with live(engine=ScriptedEngine(endless), max_tokens_total=70) as server:
            reply = ask(server, False, strategy="vote-3", max_tokens=4000)
            assert reply["limit"] == "max_tokens_total"
            assert 70 <= reply["tokens"] <= 73
        with live(engine=ScriptedEngine(endless), deadline_seconds=0.3) as server:
            reply = ask(server, False, strategy="vote-3")
            assert reply["limit"] == "deadline_s"
        with live(engine=ScriptedEngine(stepwise), max_candidates=6) as server:
            assert ask(server, False, strategy=BEAM)["limit"] == "max_candidates"

    @pytest.mark.parametrize(
        ("name", "value", "ceiling"),
        [("max_candidates", 65, "64"), ("max_tokens_total", 5001, "5000"), ("deadline_s", 30.5, "30")],
    )
    def test_a_request_above_one_is_refused(self, steps: Live, name: str, value: float, ceiling: str) -> None:
        assert steps.chat(strategy=BEAM, budget={name: float(ceiling)}).status_code == 200
        refused(steps, f"budget.{name}", [str(value), ceiling], strategy=BEAM, budget={name: value})

    def test_no_deadline_is_later_than_the_servers_timeout(self) -> None:
        with live(request_timeout_seconds=20) as server:
            refused(server, "budget.deadline_s", ["21", "20"], budget={"deadline_s": 21})


@pytest.mark.parametrize(
    ("fields", "param", "parts"),
    [
        ({"budget": {"max_candidates": 0}}, "budget.max_candidates", ["0", "1"]),
        ({"budget": {"max_tokens_total": 0}}, "budget.max_tokens_total", ["0", "1"]),
        ({"budget": {"max_tokens_total": 2.5}}, "budget.max_tokens_total", ["2.5", "integer"]),
        ({"budget": {"deadline_s": 0}}, "budget.deadline_s", ["0"]),
        ({"budget": {"deadline_s": "inf"}}, "budget.deadline_s", ["finite"]),
        ({"budget": {"deadline": 3}}, "budget.deadline", ["'deadline'", "'deadline_s'"]),
        ({"budget": 3}, "budget", ["3"]),
        ({"strategy": "vote-4", "budget": {"max_candidates": 3}}, "budget.max_candidates", ["3", "vote-4", "4"]),
        ({"n": 3, "budget": {"max_candidates": 2}}, "budget.max_candidates", ["2", "n = 3"]),
        ({"n": 3, "strategy": BEAM, "budget": {"max_candidates": 2}}, "budget.max_candidates", ["2", "n = 3"]),
        ({"strategy": "vote-4", "budget": {"max_tokens_total": 3}}, "budget.max_tokens_total", ["3", "vote-4"]),
        (
            {"max_tokens": 100, "budget": {"max_tokens_total": 99}},
            "budget.max_tokens_total",
            ["99", "max_tokens = 100"],
        ),
        (
            {"max_completion_tokens": 100, "strategy": BEAM, "budget": {"max_tokens_total": 99}},
            "budget.max_tokens_total",
            ["99", "100"],
        ),
    ],
)
def test_contradictions_are_refused_before_any_token(
    steps: Live, fields: dict[str, Any], param: str, parts: list[str]
) -> None:
    refused(steps, param, parts, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"strategy": "vote-4", "budget": {"max_candidates": 4}},
        {"strategy": "vote-4", "budget": {"max_tokens_total": 4}},
        {"n": 2, "strategy": BEAM, "budget": {"max_candidates": 2}},
        {"max_tokens": 100, "budget": {"max_tokens_total": 100}},
        {"budget": {}},
        {"budget": None},
    ],
)
def test_what_is_merely_tight_is_served(steps: Live, fields: dict[str, Any]) -> None:
    assert steps.chat(**fields).status_code == 200


def ask(server: Live, stream: bool, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """The report, with the first answer's content and finish reason."""

    body = {"model": "tiny", "messages": MESSAGES, "stream": stream} | fields
    reply = server.http.post("/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    if not stream:
        whole = reply.json()
        (choice, *_) = whole["choices"]
        return whole["deliberation"] | {
            "content": choice["message"]["content"],
            "finish_reason": choice["finish_reason"],
        }
    chunks = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    parts = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == 0]
    return chunks[-1]["deliberation"] | {
        "content": "".join(part["delta"].get("content", "") for part in parts),
        "finish_reason": next(part["finish_reason"] for part in parts if part["finish_reason"]),
    }


def refused(server: Live, param: str, parts: list[str], **fields: Any) -> None:
    """Check that a request is a 400 that names the field and says these parts, and that nothing was generated."""
    before = len(server.engine.calls)
    for stream in (False, True):
        reply = server.chat(stream=stream, **fields)
        assert reply.status_code == 400, reply.text
        error = reply.json()["error"]
        assert error["param"] == param, error
        for part in parts:
            assert part in error["message"], error
    assert len(server.engine.calls) == before
