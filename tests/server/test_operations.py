"""What operators rely on: keys, limits, health, metrics, ids, CORS, the OpenAPI file."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from deliberate.engines.errors import EngineStopped, InvalidRequest
from deliberate.engines.marks import MarkScorer
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.app import create_app
from deliberate.server.openapi import as_yaml, description
from deliberate.server.serving import Pool, RewardModel, Scorer, ServedModel
from deliberate.server.settings import Settings
from deliberate.verifiers.workers import WorkerPool

from .support import MESSAGES, Live, live, running
from .test_going_away import ask_and_leave, until


@pytest.fixture(scope="module")
def guarded() -> Iterator[Live]:
    with live(api_key="first, second", cors_origins=["https://page.example"], max_candidates=8) as server:
        yield server


@pytest.mark.parametrize("header", [None, "Bearer wrong", "wrong", "Bearer", "Basic first", "Bearer first,second"])
def test_wrong_key(guarded: Live, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    reply = guarded.http.post("/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES}, headers=headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert guarded.engine.calls == []


@pytest.mark.parametrize("header", ["Bearer first", "bearer second", "first"])
def test_right_key(guarded: Live, header: str) -> None:
    assert guarded.http.get("/v1/models", headers={"authorization": header}).status_code == 200


def test_health_is_public_and_the_rest_is_not(guarded: Live) -> None:
    assert guarded.http.get("/health").status_code == 200
    for path in ("/metrics", "/version", "/v1/models", "/nowhere"):
        assert guarded.http.get(path).status_code == 401


def test_cors_needs_no_key(guarded: Live) -> None:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    preflight = guarded.http.options("/v1/chat/completions", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"
    other = guarded.http.options("/v1/chat/completions", headers=asked | {"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers
    refused = guarded.http.get("/v1/models", headers={"origin": "https://page.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://page.example"


def test_request_id_is_echoed_or_made(server: Live) -> None:
    assert server.http.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = server.http.get("/nowhere").headers["x-request-id"]
    assert len(made) == 32
    assert server.http.get("/health", headers={"x-request-id": "x" * 500}).headers["x-request-id"] != "x" * 500


def test_version(server: Live) -> None:
    assert server.http.get("/version").json() == {"version": "0.1.0"}


def test_queue_limit_counts_candidates() -> None:
    with live([Reply("x" * 2000, seconds_per_token=0.05)], queue_limit=5, retry_after_seconds=7) as server:
        wide = {"model": "tiny:vote-4", "messages": MESSAGES}
        url, enough = f"{server.url}/v1/chat/completions", threading.Event()
        asking = threading.Thread(target=lambda: ask_and_leave(url, wide, lambda _: enough.is_set()))
        asking.start()
        assert until(lambda: server.engine.stats.running == 4)
        for stream in (False, True):
            refused = server.chat(strategy="vote-2", stream=stream)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "7"
            assert refused.json()["error"]["code"] == "overloaded"
        assert "4 of 5" in refused.json()["error"]["message"]
        assert len(server.engine.calls) == 1
        assert server.chat(max_tokens=1).status_code == 200
        enough.set()
        asking.join()
        assert until(lambda: server.engine.stats.running == 0)
        assert server.chat(strategy="vote-5", max_tokens=1).status_code == 200
        never = server.chat(strategy="vote-6")
        assert never.status_code == 400
        assert "at most 5" in never.json()["error"]["message"]


def test_health_when_the_engine_died(server: Live) -> None:
    assert server.http.get("/health").json() == {"status": "ok"}
    server.engine.fail(RuntimeError("device lost"))
    for reply in (server.http.get("/health"), server.chat(), server.chat(stream=True)):
        assert reply.status_code == 503
        assert reply.json()["error"]["code"] == "engine_stopped"
        assert "device lost" not in reply.text


def test_engine_that_dies_during_a_stream() -> None:
    with live([Reply("x" * 200, seconds_per_token=0.02)]) as server:
        body = {"model": "tiny", "messages": MESSAGES, "stream": True}
        with server.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.iter_lines()
            next(lines)
            server.engine.fail(RuntimeError("device lost"))
            rest = [line for line in lines if line]
        assert rest[-1].startswith('data: {"error":')
        assert "engine_stopped" in rest[-1]


def test_all_samples_failed(server: Live) -> None:
    with live([Reply("x", finish="error")]) as broken:
        reply = broken.chat(strategy="vote-2")
        assert reply.status_code == 500
        assert reply.headers["x-should-retry"] == "false"
        assert reply.json()["error"]["code"] == "search_failed"
        assert '"code": "search_failed"' in broken.chat(stream=True).text.splitlines()[-2]


def test_unexpected_errors_say_nothing() -> None:
    def script(prompt: str, number: int) -> Reply:
        raise RuntimeError("secret")

    with live(engine=ScriptedEngine(script)) as server:
        for reply in (server.chat(), server.chat(strategy="vote-2")):
            assert reply.status_code == 500
            assert reply.json()["error"]["code"] == "internal_error"
            assert "secret" not in reply.text
            assert "x-request-id" in reply.headers
        assert "secret" not in server.chat(stream=True).text


def test_metrics(server: Live) -> None:
    server.chat(strategy="best-of-4")
    server.chat(strategy={"kind": "adaptive_vote", "n": 16, "threshold": 0.6})
    server.chat(stream=True)
    lines = dict(
        line.rsplit(" ", 1) for line in server.http.get("/metrics").text.splitlines() if not line.startswith("#")
    )

    def value(name: str, **labels: str) -> float:
        pairs = ",".join(f'{key}="{value}"' for key, value in sorted(({"model": "tiny"} | labels).items()))
        return float(lines[f"deliberate_{name}{{{pairs}}}"])

    assert value("request_success_total", strategy="best_of_n") == 1
    assert value("request_success_total", strategy="none") == 1
    assert value("e2e_request_latency_seconds_count") == 3
    assert value("time_to_first_token_seconds_count") == 3
    assert value("request_queue_time_seconds_count") == 3
    assert value("inter_token_latency_seconds_count") > 10
    assert value("verifier_seconds_count", verifier="calculator") == 1
    assert value("prompt_tokens_total") == 3 * len(server.engine.calls[0].prompt_ids)
    assert value("generation_tokens_total") > 100
    assert value("candidates_total", status="finished") >= 6
    assert value("early_stops_total") == 1
    assert value("tokens_saved_total") > 0
    assert value("sequences_running") == 0
    assert value("sequences_waiting") == 0


def test_openapi_file_is_the_servers_own() -> None:
    written = (Path(__file__).parents[2] / "openapi.yaml").read_text()
    assert written == as_yaml(description()), "run `make openapi`"
    schema = yaml.safe_load(written)
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert all("422" not in operation["responses"] for operation in operations)
    assert {"BestOfN", "MajorityVote", "Calculator", "ErrorReply", "ChatCompletionChunk"} <= set(
        schema["components"]["schemas"]
    )


def test_openapi_is_served(server: Live) -> None:
    assert server.http.get("/openapi.json").json()["info"]["title"] == "Deliberate"
    assert server.http.get("/docs").status_code == 200


def test_behind_a_proxy_the_page_finds_its_description() -> None:
    with live(root_path="/proxied", api_key="secret") as server:
        assert "'/proxied/openapi.json'" in server.http.get("/docs").text
        assert server.http.get("/health").status_code == 200
        assert server.http.get("/v1/models").status_code == 401


def test_body_limit_is_configured() -> None:
    with live(max_body_bytes=200) as server:
        assert server.chat().status_code == 200
        waiting = {"expect": "100-Continue", "content-type": "application/json"}
        for headers in ({}, waiting):
            refused = server.http.post("/v1/chat/completions", content=b"x" * 201, headers=headers)
            assert refused.status_code == 413
            assert "200 bytes" in refused.json()["error"]["message"]


def test_two_servers_share_no_metrics() -> None:
    with live() as one, live() as other:
        one.chat()
        assert "request_success_total{" in one.http.get("/metrics").text
        assert "request_success_total{" not in other.http.get("/metrics").text


def test_model_names_with_slashes_and_colons() -> None:
    models = [ServedModel(name, ScriptedEngine(["x"])) for name in ("org/m", "org/m:7b")]
    with running(Settings(port=0, log_level="critical"), models) as url, httpx.Client(base_url=url) as http:
        names = {"org/m": None, "org/m:7b": None, "org/m:7b:vote-4": "org/m:7b", "org/m:none": "org/m"}
        for name, parent in names.items():
            for path in (name, name.replace("/", "%2F").replace(":", "%3A")):
                card = http.get(f"/v1/models/{path}").json()
                assert (card["id"], card["parent"]) == (name, parent)
        for unknown in ("org", "m:7b", "org/m:huge"):
            missing = http.get(f"/v1/models/{unknown}")
            assert missing.status_code == 404
            assert missing.json()["error"]["code"] == "model_not_found"


def test_companion_is_not_listed_but_watched() -> None:
    companion = ScriptedEngine(["x"])
    model = ServedModel("tiny", ScriptedEngine(["x"]), scorer=Scorer("tiny-verifier", companion))
    settings = Settings(port=0, log_level="critical", verifier="calculator")
    with running(settings, [model]) as url, httpx.Client(base_url=url) as http:
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["tiny"]
        companion.fail(RuntimeError("device lost"))
        assert http.get("/health").status_code == 503


def test_a_reward_model_judges_by_default_and_is_watched() -> None:
    marks = ScriptedEngine(["x"], token_logprob=lambda sequence, position: -float(sequence[position] == ord("-")))
    model = ServedModel("tiny", ScriptedEngine(["x"]), reward_model=RewardModel("judge", MarkScorer(marks, *b"+-")))
    with running(Settings(port=0, log_level="critical"), [model]) as url, httpx.Client(base_url=url) as http:
        body = {"model": "tiny:best-of-2", "messages": [{"role": "user", "content": "?"}]}
        reply = http.post("/v1/chat/completions", json=body).json()
        scores = [candidate["score"] for candidate in reply["deliberation"]["candidates"]]
        assert scores == pytest.approx([1 / (1 + math.exp(-1.0))] * 2)
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["tiny"]
        assert 'deliberate_sequences_waiting{model="judge"} 0.0' in http.get("/metrics").text
        marks.fail(RuntimeError("device lost"))
        assert http.get("/health").status_code == 503


async def test_pool_closes_its_engines() -> None:
    engine, marks = ScriptedEngine(["x"]), ScriptedEngine(["x"])
    model = ServedModel("tiny", engine, reward_model=RewardModel("judge", MarkScorer(marks, *b"+-")))
    await Pool([model], WorkerPool()).close()
    assert isinstance(engine.failure, EngineStopped)
    assert isinstance(marks.failure, EngineStopped)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(strategy="best-of-4"), "needs a verifier"),
        (Settings(strategy="best"), "Unknown strategy"),
        (Settings(verifier="oracle"), "oracle"),
        (Settings(verifier='{"kind":'), "JSON"),
        (Settings(reasoning_effort={"low": "best"}), "Unknown strategy"),
    ],
)
def test_configuration_is_checked_at_the_start(settings: Settings, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        create_app(settings, [ServedModel("tiny", ScriptedEngine(["x"]))])
