"""Fake upstreams that tell a story, and engines that ask them."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.engines.openai import UpstreamOptions, connect
from deliberate.engines.openai.engine import OpenAIEngine
from deliberate.engines.protocol import Tokenizer

from .fake_upstream import FakeUpstream

STORY = "Once upon a time there were 3 naïve bakers 🎉 who sold 5 € loaves. "

MakeUpstream = Callable[..., FakeUpstream]
MakeEngine = Callable[..., OpenAIEngine]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for tenths of the usual times, which nothing here depends on."""
    monkeypatch.setattr("deliberate.engines.openai.retry._FIRST_SECONDS", 0.03)


@pytest.fixture
def tokenizer(model_folder: Path) -> Tokenizer:
    """One token per byte."""
    return HuggingFaceTokenizer(str(model_folder))


@pytest.fixture
def upstream(tokenizer: Tokenizer) -> Iterator[MakeUpstream]:
    """Starts fake upstreams; takes FakeUpstream's fields."""
    started: list[FakeUpstream] = []

    def start(**fields: Any) -> FakeUpstream:
        told: dict[str, Any] = {"story": STORY, **fields}
        started.append(FakeUpstream(tokenizer, **told).start())
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
async def engine_of(model_folder: Path) -> AsyncIterator[MakeEngine]:
    """Connects to fake upstreams; takes UpstreamOptions' fields."""
    engines: list[OpenAIEngine] = []

    def start(*upstreams: FakeUpstream, **options: Any) -> OpenAIEngine:
        urls = tuple(upstream.url for upstream in upstreams)
        fields: dict[str, Any] = {"timeout_seconds": 1.0, "tokenizer": str(model_folder), **options}
        engines.append(connect(UpstreamOptions(urls, **fields)))
        return engines[-1]

    yield start
    for engine in engines:
        await engine.close()
