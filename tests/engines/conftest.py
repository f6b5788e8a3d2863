"""Engines to test: the scripted one, and the embedded one over small random models."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deliberate.engines.protocol import Engine
from deliberate.engines.scripted import ScriptedEngine
from deliberate.engines.transformers import TransformersEngine, load

from .tiny_models import make_model


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


@pytest.fixture(params=["scripted", "transformers"])
async def engine(request: pytest.FixtureRequest, model_folder: Path) -> AsyncIterator[Engine]:
    """Each engine in turn, for what holds for all of them."""
    factories: dict[str, Callable[[], Engine]] = {
        "scripted": lambda: ScriptedEngine(["2 € + 3 € = 5 €", "ünïcödé " * 8], context_length=512),
        "transformers": lambda: load(str(model_folder)),
    }
    engine = factories[request.param]()
    yield engine
    await engine.close()
