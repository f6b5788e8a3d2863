"""Engines to test: the scripted one, and the embedded one and vLLM over small random models."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from deliberate.engines import vllm
from deliberate.engines.openai import UpstreamOptions, connect
from deliberate.engines.protocol import Engine
from deliberate.engines.scripted import ScriptedEngine
from deliberate.engines.transformers import TransformersEngine, load

from .tiny_models import make_model
from .vllm_server import FINE_BLOCKS, serve_deliberate, serve_vllm
from .with_vllm import EAGER, HEADS, NEEDS_VLLM, SMALL, make_adapter

if TYPE_CHECKING:
    from deliberate.engines.vllm.engine import VllmEngine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What closes the vLLM that tests share comes last: then it starts once."""
    items.sort(key=lambda item: item.name == "test_a_closed_engine_says_so[vllm]")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 model over bytes."""
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def embedded(model_folder: Path) -> AsyncIterator[TransformersEngine]:
    """The embedded engine over the random model."""
    engine = load(str(model_folder))
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def wide_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 model over bytes that vLLM can run on a CPU."""
    return make_model(tmp_path_factory.mktemp("wide-model"), **HEADS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_vllm(
    wide_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[], "VllmEngine"]]:
    """Gives the one vLLM of the test session, with an adapter called `terse`; a new one once a test has closed it."""
    adapter = make_adapter(tmp_path_factory.mktemp("adapter"))
    options = [*SMALL, *EAGER, "--enable-lora", "--lora-modules", f"terse={adapter}"]
    started: list[VllmEngine] = []

    def start() -> "VllmEngine":
        if not started or started[-1].failure is not None:
            started.append(vllm.load(str(wide_model_folder), options))
        return started[-1]

    yield start
    for engine in started:
        await engine.close()


@pytest.fixture(scope="session")
def vllm_url(wide_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `vllm serve` of the random model, started once and on first use."""
    log = tmp_path_factory.mktemp("vllm-server") / "log"
    with serve_vllm(wide_model_folder, log, [*EAGER, *FINE_BLOCKS]) as url:
        yield url


@pytest.fixture(scope="session")
def deliberate_url(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of this project's own server over the random model."""
    with serve_deliberate(model_folder, tmp_path_factory.mktemp("deliberate-server") / "log") as url:
        yield url


@pytest_asyncio.fixture(
    loop_scope="session",
    params=[
        "scripted",
        "transformers",
        "openai-deliberate",
        pytest.param("vllm", marks=NEEDS_VLLM),
        pytest.param("openai-vllm", marks=NEEDS_VLLM),
    ],
)
async def engine(
    request: pytest.FixtureRequest, model_folder: Path, shared_vllm: Callable[[], Engine]
) -> AsyncIterator[Engine]:
    """Each engine in turn, for what holds for all of them."""
    factories: dict[str, Callable[[], Engine]] = {
        "scripted": lambda: ScriptedEngine(["2 € + 3 € = 5 €", "ünïcödé " * 8], context_length=512),
        "transformers": lambda: load(str(model_folder)),
        "vllm": shared_vllm,
        "openai-deliberate": lambda: connect(UpstreamOptions((request.getfixturevalue("deliberate_url"),))),
        "openai-vllm": lambda: connect(UpstreamOptions((request.getfixturevalue("vllm_url"),))),
    }
    engine = factories[request.param]()
    yield engine
    if request.param != "vllm":
        await engine.close()
