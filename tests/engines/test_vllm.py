"""What the vllm engine promises beyond the contract: vLLM's own options, adapters, reward heads, and ending well."""

import asyncio
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from deliberate.engines import transformers, vllm
from deliberate.engines.errors import ContextOverflow, EngineStopped, InvalidRequest
from deliberate.engines.protocol import Engine, Prompt, Sampling, StructuredOutput
from deliberate.models import bundled

from .sampling import samples
from .test_reward_heads import CHAIN, plain_values
from .tiny_models import make_reward_model
from .with_vllm import EAGER, HEADS, NEEDS_VLLM, SMALL, STARTS_VLLM, make_adapter

if TYPE_CHECKING:
    from deliberate.engines.vllm.engine import VllmEngine

pytestmark = [NEEDS_VLLM, STARTS_VLLM, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

PROMPT = list(b"user: Tom has 3 apples and buys 4 more. How many?\nassistant: ")
ENDLESS = {256: -100.0}


def plain_logprobs(folder: Path, tokens: list[int], adapter: Path | None = None) -> torch.Tensor:
    """Log-probabilities of each next token by the plain model, [tokens, vocabulary], with a LoRA adapter merged in."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter is not None:
        weights = load_file(adapter / "adapter_model.safetensors")
        for name in (name for name in weights if "lora_A" in name):
            layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            change = weights[name.replace("lora_A", "lora_B")] @ weights[name]
            model.get_submodule(layer).weight.data += change
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0].log_softmax(-1)


def following(logprobs: torch.Tensor, tokens: list[int], start: int) -> list[float]:
    return [logprobs[at - 1, tokens[at]].item() for at in range(start, len(tokens))]


# Sampling and scoring


async def test_logprobs_are_the_models_own(shared_vllm: Callable[[], "VllmEngine"], wide_model_folder: Path) -> None:
    sampling = Sampling(max_tokens=30, seed=4, temperature=1.7, top_logprobs=3, logit_bias={65: 2.0}, stream_interval=8)
    (sample, _) = await samples(shared_vllm(), PROMPT, sampling, n=2)
    expected = plain_logprobs(wide_model_folder, PROMPT + list(sample.token_ids))[len(PROMPT) - 1 :]
    for i, token in enumerate(sample.token_ids):
        assert sample.logprobs[i] == pytest.approx(expected[i, token].item(), abs=1e-3)
        top = expected[i].topk(3)
        assert [t for t, _ in sample.top_logprobs[i]] == top.indices.tolist()
        assert [v for _, v in sample.top_logprobs[i]] == pytest.approx(top.values.tolist(), abs=1e-3)


async def test_sample_i_draws_with_seed_plus_i(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    sampling = Sampling(max_tokens=20, seed=100, logit_bias=ENDLESS)
    together = await samples(shared_vllm(), PROMPT, sampling, n=4)
    assert len({s.token_ids for s in together}) == 4
    (last,) = await samples(shared_vllm(), PROMPT, sampling.model_copy(update={"seed": 103}))
    assert last.token_ids == together[3].token_ids


async def test_greedy_samples_are_all_the_argmax(
    shared_vllm: Callable[[], "VllmEngine"], wide_model_folder: Path
) -> None:
    first, second = await samples(shared_vllm(), PROMPT, Sampling(max_tokens=20, temperature=0), n=2)
    expected = plain_logprobs(wide_model_folder, PROMPT + list(first.token_ids))[len(PROMPT) - 1 : -1]
    assert expected.argmax(-1).tolist() == list(first.token_ids)
    assert first == second


async def test_more_prompts_than_one_step_can_read_draw_the_same(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    engine = shared_vllm()
    prompts = [[*list(b"%02d. " % number), *PROMPT * 7] for number in range(16)]
    assert sum(map(len, prompts)) > 2 * 2048
    sampling = Sampling(max_tokens=4, seed=9, logit_bias=ENDLESS)
    together = await asyncio.gather(*(samples(engine, prompt, sampling) for prompt in prompts))
    for number in (0, 7, 15):
        (alone,) = await samples(engine, prompts[number], sampling)
        assert alone.token_ids == together[number][0].token_ids


async def test_samples_share_the_full_blocks_of_their_prompt(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    before = shared_vllm().stats
    prompt = list(b"Shared by sixteen. ") + PROMPT * 3
    await samples(shared_vllm(), prompt, Sampling(max_tokens=4), n=16)
    assert shared_vllm().stats.prefill_tokens_total - before.prefill_tokens_total < len(prompt) + 16 * 16


async def test_structured_output_has_its_form(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    forms: list[tuple[StructuredOutput, Callable[[str], bool]]] = [
        (StructuredOutput(choice=("yes", "no")), lambda text: text in ("yes", "no")),
        (StructuredOutput(regex=r"[0-9]{3}"), lambda text: re.fullmatch("[0-9]{3}", text) is not None),
        (
            StructuredOutput(json_schema={**schema, "additionalProperties": False}),
            lambda text: "ok" in json.loads(text),
        ),
        (StructuredOutput(grammar='root ::= "a" "b"+ "c"'), lambda text: re.fullmatch("ab+c", text) is not None),
    ]
    for form, holds in forms:
        sampling = Sampling(max_tokens=200, temperature=0.3, structured_output=form)
        for sample in await samples(shared_vllm(), PROMPT, sampling, n=2):
            assert sample.finish.reason == "stop"
            assert holds(sample.text)
    with pytest.raises(InvalidRequest, match="refuses"):
        await samples(shared_vllm(), PROMPT, Sampling(structured_output=StructuredOutput(grammar="root ::= (")))


async def test_an_adapter_is_an_engine_of_its_own(
    shared_vllm: Callable[[], "VllmEngine"], wide_model_folder: Path, tmp_path: Path
) -> None:
    adapter = shared_vllm().adapters["terse"]
    (sample,) = await samples(adapter, PROMPT, Sampling(max_tokens=20, temperature=0))
    (plain,) = await samples(shared_vllm(), PROMPT, Sampling(max_tokens=20, temperature=0))
    assert sample.token_ids != plain.token_ids
    tokens = PROMPT + list(sample.token_ids)
    merged = plain_logprobs(wide_model_folder, tokens, make_adapter(tmp_path))
    assert list(sample.logprobs) == pytest.approx(following(merged, tokens, len(PROMPT)), abs=1e-2)
    (scores,) = await adapter.score([tokens], [len(PROMPT)])
    assert list(scores) == pytest.approx(list(sample.logprobs), abs=1e-3)


async def test_scores_are_the_models_own_with_and_without_the_cache(
    shared_vllm: Callable[[], "VllmEngine"], wide_model_folder: Path
) -> None:
    engine = shared_vllm()
    tokens = list(b"Nothing else in these tests begins so. ") + PROMPT * 3
    expected = following(plain_logprobs(wide_model_folder, tokens), tokens, 1)
    read: list[int] = []
    for start in (1, 1, 170, 218):
        before = engine.stats.prefill_tokens_total
        (scores,) = await engine.score([tokens], [start])
        read.append(engine.stats.prefill_tokens_total - before)
        assert list(scores) == pytest.approx(expected[start - 1 :], abs=1e-3)
    assert read[0] == len(tokens) - 1, "nothing was cached, and the last token need not be read"
    assert read[1] > len(tokens), "what the cache holds has no log-probabilities and is read again"
    assert read[3] <= 16, "the end of a known sequence reads what is new"


async def test_a_chain_of_twenty_steps_is_read_about_once(
    shared_vllm: Callable[[], "VllmEngine"], wide_model_folder: Path
) -> None:
    engine = shared_vllm()
    chain = list(b"A question.\n")
    ends: list[int] = []
    values: list[float] = []
    before = engine.stats.prefill_tokens_total
    for step in range(20):
        chain += list(b"Step %02d: so 2 and 3 are 5\n" % step)[:24]
        ends.append(len(chain) - 1)
        (((value, _),),) = await engine.next_logprobs([chain], [ends[-1:]], [43, 45])
        values.append(value)
    assert engine.stats.prefill_tokens_total - before <= 1.5 * len(chain)
    expected = plain_logprobs(wide_model_folder, chain)[ends, 43]
    assert values == pytest.approx(expected.tolist(), abs=1e-3)
    generated = engine.stats.generated_tokens_total
    await engine.next_logprobs([chain], [ends], [43])
    assert engine.stats.generated_tokens_total == generated, "reading generates nothing"


async def test_after_a_context_that_is_full_nothing_can_be_asked(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    full = (PROMPT * 9)[:512]
    with pytest.raises(ContextOverflow):
        await shared_vllm().next_logprobs([full], [[511]], [65])
    (((value,),),) = await shared_vllm().next_logprobs([full], [[510]], [65])
    assert value < 0
    (scores,) = await shared_vllm().score([full], [500])
    assert len(scores) == 12


# Ending


async def test_a_closed_generator_is_gone_from_the_core(shared_vllm: Callable[[], "VllmEngine"]) -> None:
    engine = shared_vllm()
    async with aclosing(engine.generate(Prompt(tuple(PROMPT)), Sampling(logit_bias=ENDLESS), 4)) as stream:
        for _ in range(20):
            await anext(stream)
    # vLLM's core says with every step how many it runs: were the four still there, it would say five.
    running: list[int] = []
    async with aclosing(engine.generate(Prompt(tuple(PROMPT)), Sampling(logit_bias=ENDLESS, max_tokens=30))) as stream:
        async for delta in stream:
            if delta.finish is None:
                running.append(engine.stats.running)
    assert running[3:]
    assert set(running[3:]) == {1}


async def test_the_bundled_model_says_the_same_as_in_the_embedded_engine() -> None:
    """Compiled, as users run it."""
    path = str(bundled("tiny"))
    embedded = transformers.load(path)
    production = vllm.load(path, SMALL)
    assert production.sampling_defaults == embedded.sampling_defaults
    assert production.capabilities.context_length == embedded.capabilities.context_length
    prompt = production.tokenizer.apply_chat_template([{"role": "user", "content": "What is 2 + 3?"}])

    async def said(engine: Engine) -> tuple[str, object]:
        (sample,) = await samples(engine, prompt, Sampling(max_tokens=200, temperature=0, stream_interval=16))
        return sample.text, sample.finish

    assert await said(production) == await said(embedded)
    await production.close()
    await embedded.close()


async def test_two_cores_share_the_work_and_one_that_is_killed_ends_both(wide_model_folder: Path) -> None:
    others = set(multiprocessing.active_children())
    engine = vllm.load(str(wide_model_folder), [*SMALL, *EAGER, "--data-parallel-size", "2"])
    sampling = Sampling(max_tokens=12, logit_bias=ENDLESS)
    got = await asyncio.gather(*(samples(engine, [*PROMPT, 65 + i], sampling) for i in range(8)))
    assert all(len(sample.token_ids) == 12 for (sample,) in got)
    cores = [child for child in multiprocessing.active_children() if child not in others]
    asked = asyncio.create_task(samples(engine, PROMPT, Sampling(logit_bias=ENDLESS), n=64))
    while engine.stats.running < 40:
        await asyncio.sleep(0.01)
    killed = next(core for core in cores if "EngineCore" in core.name)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(EngineStopped):
        await asyncio.wait_for(asked, 20)
    assert engine.failure is not None
    with pytest.raises(EngineStopped):
        await samples(engine, PROMPT, Sampling())
    await engine.close()
    for core in cores:
        core.join(20)
        assert not core.is_alive(), "no process is left behind"


# Reward heads


@pytest.mark.parametrize(("head", "labels"), [("sequence", 1), ("token", 2)])
async def test_reward_heads(head: str, labels: int, tmp_path: Path) -> None:
    folder = make_reward_model(tmp_path, head, labels, **HEADS)
    expected = plain_values(folder, head, CHAIN)
    scorer = vllm.load_scorer(str(folder), [*SMALL, *EAGER])
    (values,) = await scorer.score([CHAIN], [range(len(CHAIN))])
    assert list(values) == pytest.approx(expected, abs=1e-3)
    chain = list(b"A question.\n")
    ends: list[int] = []
    newest: list[float] = []
    before = scorer.stats.prefill_tokens_total
    for step in range(20):
        chain += list(b"Step %02d: so 2 and 3 are 5\n" % step)[:24]
        ends.append(len(chain) - 1)
        ((value,),) = await scorer.score([chain], [ends[-1:]])
        newest.append(value)
    assert 0 < scorer.stats.prefill_tokens_total - before <= 1.5 * len(chain)
    plain = plain_values(folder, head, chain)
    assert newest == pytest.approx([plain[end] for end in ends], abs=1e-3)
    with pytest.raises(InvalidRequest, match="within 0 to 2"):
        await scorer.score([[65, 66, 67]], [[3]])
    await scorer.close()
    assert scorer.failure is not None
    with pytest.raises(EngineStopped):
        await scorer.score([chain], [ends])
