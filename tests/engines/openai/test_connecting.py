"""The first look at the upstreams."""

import socket
import time
from pathlib import Path

import pytest

from deliberate.bench.processes import free_port
from deliberate.engines.errors import DeliberateError, InvalidRequest, UnknownName, UpstreamFailed
from deliberate.engines.openai import UpstreamOptions, connect, connect_scorer
from deliberate.engines.openai.addresses import Address
from deliberate.engines.protocol import Prompt, Sampling

from .conftest import MakeEngine, MakeUpstream
from .fake_upstream import Fault


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("https://host/openai", "https://host/openai/v1"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai"),
    ],
)
def test_addresses_come_with_and_without_version(url: str, base: str) -> None:
    assert str(Address.parse(url)) == base


def test_what_stands_beside_the_version() -> None:
    assert Address.parse("http://host:8000/v1").beside("/health") == "http://host:8000/health"


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://", ""])
def test_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="such as http://host:8000/v1"):
        connect(UpstreamOptions((url,)))


def test_nobody_there_is_told_by_address() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(UpstreamFailed, match=f"{url} cannot be reached"):
        connect(UpstreamOptions((url,)))


def test_no_tls_there_is_told(upstream: MakeUpstream) -> None:
    with pytest.raises(UpstreamFailed, match=r"cannot be reached: .*ssl"):
        connect(UpstreamOptions((upstream().url.replace("http:", "https:"),)))


def test_one_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deliberate.engines.openai.connecting._PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(UpstreamFailed, match="cannot be reached: timed out"):
            connect(UpstreamOptions((f"http://127.0.0.1:{silent.getsockname()[1]}",)))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Fault(status=401, body=b'{"error": {"message": "bad key"}}'), "bad key.*--upstream-api-key"),
        (Fault(status=404, body=b"not here"), "404: not here. Is this the address"),
        (Fault(body=b"<html>welcome"), "<html>welcome.*Is this the address"),
        (Fault(body=b'{"models": []}'), "Is this the address"),
        (Fault(status=503, body=b"starting"), "503: starting"),
    ],
)
def test_a_bad_list_of_models_is_told(told: Fault, message: str, upstream: MakeUpstream) -> None:
    server = upstream(model_list=told)
    with pytest.raises(UpstreamFailed, match=message) as caught:
        connect(UpstreamOptions((server.url,)))
    assert server.url in str(caught.value)


async def test_the_only_model_is_taken(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(owner="somebody")
    can = engine_of(server).capabilities
    assert (can.token_ids, can.scores, can.tools, can.structured_output) == (False, False, True, True)


async def test_an_upstream_of_tokens_tells_its_context(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    can = engine_of(upstream(owner="deliberate")).capabilities
    assert (can.context_length, can.token_ids, can.scores) == (512, True, True)


async def test_the_kind_can_be_chosen(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    assert not engine_of(upstream(), kind="chat").capabilities.token_ids


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (None, InvalidRequest, "2 models; name one of big, small"),
        ("smal", UnknownName, "'smal'; known: big, small. Did you mean 'small'"),
    ],
)
def test_a_model_must_be_one_of_theirs(
    model: str | None, error: type[DeliberateError], message: str, upstream: MakeUpstream
) -> None:
    server = upstream(models=("small", "big"))
    with pytest.raises(error, match=message):
        connect(UpstreamOptions((server.url,), model))


def test_all_upstreams_serve_one_model(upstream: MakeUpstream) -> None:
    urls = (upstream(models=("a",)).url, upstream(models=("b",)).url)
    with pytest.raises(InvalidRequest, match="different models \\(a, b\\)"):
        connect(UpstreamOptions(urls))


async def test_the_key_goes_along(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream()
    engine = engine_of(server, api_key="secret")
    [delta async for delta in engine.generate(Prompt((65,) * 40), Sampling(max_tokens=1))]
    assert server.asked[0].headers["authorization"] == "Bearer secret"
    assert server.asked[0].body["model"] == "story"


def test_a_scorer_is_no_chat(upstream: MakeUpstream, model_folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="a reward model's upstream is a vLLM"):
        connect_scorer(UpstreamOptions((upstream(owner="somebody").url,)))
