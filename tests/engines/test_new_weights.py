"""Engines that go on with other weights, as training asks of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from deliberate.engines import transformers
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Engine, Prompt, Sampling

from .tiny_models import make_model
from .with_vllm import HEADS, NEEDS_VLLM, STARTS_VLLM

TOKENS = tuple(range(5, 45))


def weights_of(folder: Path) -> Mapping[str, Tensor]:
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    return loaded.state_dict()


async def read(engine: Any) -> list[float]:
    """What the engine thinks of some tokens, those before them read once already."""
    await engine.score([TOKENS[:-2]], [20])
    return list((await engine.score([TOKENS], [30]))[0])


async def check_new_weights(engine: Any, first: Path, second: Path) -> None:
    """What the old weights read is read again; at the end it has its own weights."""
    before = await read(engine)
    await engine.load_weights(weights_of(second))
    after = await read(engine)
    await engine.load_weights(weights_of(first))
    assert await read(engine) == pytest.approx(before, abs=1e-4)
    other = transformers.load(str(second))
    assert after == pytest.approx(await read(other), abs=1e-3)
    assert after != pytest.approx(before, abs=0.1)
    await other.close()


@pytest.mark.parametrize("tied", [True, False])
async def test_the_embedded_engine_goes_on_with_other_weights(tmp_path: Path, tied: bool) -> None:
    first, second = (make_model(tmp_path / str(seed), seed=seed, tie_word_embeddings=tied) for seed in (0, 1))
    engine = transformers.load(str(first))
    await check_new_weights(engine, first, second)
    await engine.close()


@NEEDS_VLLM
@STARTS_VLLM
@pytest.mark.asyncio(loop_scope="session")
async def test_vllm_goes_on_with_other_weights(
    shared_vllm: Callable[[], Engine], wide_model_folder: Path, tmp_path: Path
) -> None:
    await check_new_weights(shared_vllm(), wide_model_folder, make_model(tmp_path, seed=1, **HEADS))


async def test_weights_are_not_exchanged_under_running_samples(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    engine = transformers.load(str(folder))
    running = engine.generate(Prompt(TOKENS), Sampling(max_tokens=400))
    await anext(running)
    with pytest.raises(InvalidRequest, match="wait until all samples have ended"):
        await engine.load_weights(weights_of(folder))
    await running.aclose()
    await engine.close()


async def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "one")
    engine = transformers.load(str(folder))
    before = await read(engine)
    for wrong in (weights_of(make_model(tmp_path / "two", "qwen3")), {"lm_head.weight": torch.zeros(3, 3)}):
        with pytest.raises(InvalidRequest, match="of another model"):
            await engine.load_weights(wrong)
    assert await read(engine) == before
    await engine.close()
