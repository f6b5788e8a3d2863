"""Marks beyond the contract: exact values, from a script and from a model."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from deliberate.engines.marks import MarkScorer
from deliberate.engines.scripted import ScriptedEngine
from deliberate.engines.transformers import TransformersEngine

PLUS, MINUS = b"+-"
CHAIN = list(b"3 + 4 = 7\nSo he has 7.\n")


def scripted(logprobs: dict[int, float]) -> MarkScorer:
    def logprob(sequence: Sequence[int], position: int) -> float:
        return logprobs[sequence[position]] * position

    return MarkScorer(ScriptedEngine(["ok"], token_logprob=logprob), PLUS, MINUS)


async def test_a_value_is_the_difference_after_its_position() -> None:
    scorer = scripted({PLUS: -0.25, MINUS: -1.0})
    assert await scorer.score([CHAIN, CHAIN[:3]], [[0, 9], [2]]) == [(0.75, 7.5), (2.25,)]


@pytest.mark.parametrize(("positive", "negative", "value"), [(-1.0, -math.inf, math.inf), (-math.inf, -1.0, -math.inf)])
async def test_an_impossible_mark_decides(positive: float, negative: float, value: float) -> None:
    assert await scripted({PLUS: positive, MINUS: negative}).score([CHAIN], [[3]]) == [(value,)]


async def test_two_impossible_marks_say_nothing() -> None:
    (values,) = await scripted({PLUS: -math.inf, MINUS: -math.inf}).score([CHAIN], [[3]])
    assert math.isnan(*values)


async def test_values_are_those_of_the_plain_model(embedded: TransformersEngine, model_folder: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([CHAIN])).logits[0]
    (values,) = await MarkScorer(embedded, PLUS, MINUS).score([CHAIN], [range(len(CHAIN))])
    assert list(values) == pytest.approx((logits[:, PLUS] - logits[:, MINUS]).tolist(), abs=1e-4)


def test_it_is_its_engine_in_everything_else() -> None:
    engine = ScriptedEngine(["ok"])
    scorer = MarkScorer(engine, PLUS, MINUS)
    assert scorer.capabilities == engine.capabilities
    assert scorer.tokenizer is engine.tokenizer
    assert scorer.stats is engine.stats
    engine.fail(cause := RuntimeError("device lost"))
    assert scorer.failure is cause
