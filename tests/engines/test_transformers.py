"""What the embedded engine promises beyond the contract: exactness, sharing, batching, many architectures."""

import asyncio
import math
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from deliberate.engines.errors import EngineStopped, InvalidRequest
from deliberate.engines.protocol import Prompt, Sampling
from deliberate.engines.transformers import TransformersEngine, load

from .sampling import deltas, samples, until_idle
from .tiny_models import make_model

PROMPT = list(b"user: Tom has 3 apples and buys 4 more. How many?\nassistant: ")
ENDLESS = {256: -100.0}


def hugging_face_logprobs(folder: Path, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities of each next token by the plain model, [tokens, vocabulary]."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0].log_softmax(-1)


async def test_logprobs_are_the_models_own(embedded: TransformersEngine, model_folder: Path) -> None:
    sampling = Sampling(max_tokens=30, seed=4, temperature=1.7, top_logprobs=3, logit_bias={65: 2.0})
    (sample,) = await samples(embedded, PROMPT, sampling)
    expected = hugging_face_logprobs(model_folder, PROMPT + list(sample.token_ids))[len(PROMPT) - 1 :]
    for i, token in enumerate(sample.token_ids):
        assert sample.logprobs[i] == pytest.approx(expected[i, token].item(), abs=1e-4)
        top = expected[i].topk(3)
        assert [t for t, _ in sample.top_logprobs[i]] == top.indices.tolist()
        assert [v for _, v in sample.top_logprobs[i]] == pytest.approx(top.values.tolist(), abs=1e-4)


async def test_greedy_is_the_argmax(embedded: TransformersEngine, model_folder: Path) -> None:
    (sample,) = await samples(embedded, PROMPT, Sampling(max_tokens=30, temperature=0))
    expected = hugging_face_logprobs(model_folder, PROMPT + list(sample.token_ids))[len(PROMPT) - 1 : -1]
    assert expected.argmax(-1).tolist() == list(sample.token_ids)


async def test_scores_are_the_models_own_and_reuse_the_prefix(embedded: TransformersEngine, model_folder: Path) -> None:
    sequences = [PROMPT + list(b"3 + 4 = %d" % answer) for answer in range(8)]
    scores = await embedded.score(sequences, [len(PROMPT)] * 8)
    for tokens, got in zip(sequences, scores, strict=True):
        expected = hugging_face_logprobs(model_folder, tokens)
        wanted = [expected[i - 1, tokens[i]].item() for i in range(len(PROMPT), len(tokens))]
        assert list(got) == pytest.approx(wanted, abs=1e-4)
    assert embedded.stats.prefill_tokens_total < len(PROMPT) + 8 * (16 + 9)


async def test_same_seed_same_tokens_whatever_else_runs(embedded: TransformersEngine) -> None:
    sampling = Sampling(max_tokens=48, seed=5, logit_bias=ENDLESS)
    (alone,) = await samples(embedded, PROMPT, sampling)

    async def other(i: int) -> None:
        await asyncio.sleep(0.003 * i)
        await samples(embedded, PROMPT[i:] * (1 + i % 3), Sampling(max_tokens=10 + 5 * i, seed=i), 1 + i % 4)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(samples(embedded, PROMPT, sampling, n)) for n in (1, 3, 8)]
        for i in range(12):
            group.create_task(other(i))
    for task in tasks:
        assert task.result()[0].token_ids == alone.token_ids
        assert task.result()[0].logprobs == alone.logprobs, "not even the rounding may differ"


async def test_sample_i_draws_with_seed_plus_i(embedded: TransformersEngine) -> None:
    sampling = Sampling(max_tokens=20, seed=100, logit_bias=ENDLESS)
    together = await samples(embedded, PROMPT, sampling, n=4)
    assert len({s.token_ids for s in together}) == 4
    (last,) = await samples(embedded, PROMPT, sampling.model_copy(update={"seed": 103}))
    assert last.token_ids == together[3].token_ids


async def test_samples_share_one_prefill(embedded: TransformersEngine) -> None:
    await samples(embedded, PROMPT, Sampling(max_tokens=4), n=16)
    assert embedded.stats.prefill_tokens_total == len(PROMPT)


async def test_concurrent_requests_share_a_prefix(embedded: TransformersEngine) -> None:
    async with asyncio.TaskGroup() as group:
        for i in range(8):
            group.create_task(samples(embedded, [*PROMPT, 65 + i], Sampling(max_tokens=4)))
    assert embedded.stats.prefill_tokens_total < len(PROMPT) + 8 * 17


async def test_an_extension_of_a_finished_request_prefills_only_what_is_new(embedded: TransformersEngine) -> None:
    (sample,) = await samples(embedded, PROMPT, Sampling(max_tokens=100, seed=2, logit_bias=ENDLESS))
    before = embedded.stats.prefill_tokens_total
    longer = PROMPT + list(sample.token_ids) + list(b"Now explain each step again ... ")
    (warm,) = await samples(embedded, longer, Sampling(max_tokens=20, seed=3, logit_bias=ENDLESS))
    assert embedded.stats.prefill_tokens_total - before < 32 + 17
    fresh_prompt = await embedded.score([longer], [1])
    assert len(fresh_prompt[0]) == len(longer) - 1
    assert len(warm.token_ids) == 20


async def test_reused_keys_give_the_same_tokens_as_fresh_ones(model_folder: Path) -> None:
    async def run(*prompts: list[int]) -> tuple[int, ...]:
        engine = load(str(model_folder))
        got = [await samples(engine, p, Sampling(max_tokens=24, seed=9, logit_bias=ENDLESS)) for p in prompts]
        await engine.close()
        return got[-1][0].token_ids

    assert await run(PROMPT + PROMPT) == await run(PROMPT, PROMPT + PROMPT)


async def test_requests_join_a_running_batch(embedded: TransformersEngine) -> None:
    long = embedded.generate(Prompt(tuple(PROMPT)), Sampling(logit_bias=ENDLESS), 2)
    async with aclosing(long):
        await anext(long)
        await samples(embedded, PROMPT, Sampling(max_tokens=4, seed=1))
        assert embedded.stats.running == 2, "the short one came and went while the long ones ran"


async def test_a_long_prompt_does_not_stop_the_others(model_folder: Path) -> None:
    engine = load(str(make_model(model_folder.parent / "long", max_position_embeddings=8192)))
    long = engine.generate(Prompt((65,) * 6000), Sampling(max_tokens=1))
    async with aclosing(engine.generate(Prompt(tuple(PROMPT)), Sampling(logit_bias=ENDLESS))) as stream:
        await anext(stream)
        waiting = asyncio.ensure_future(anext(long))
        tokens = 0
        while not waiting.done():
            tokens += len((await anext(stream)).token_ids)
        assert tokens >= 4, "6000 tokens are 6 chunks; a token comes between each two"
    await long.aclose()
    await engine.close()


async def test_more_samples_than_the_batch_holds(model_folder: Path) -> None:
    engine = load(str(model_folder), max_batch=4)
    wide = await samples(engine, PROMPT, Sampling(max_tokens=12, seed=6), n=11)
    roomy = load(str(model_folder))
    assert [s.token_ids for s in wide] == [
        s.token_ids for s in await samples(roomy, PROMPT, Sampling(max_tokens=12, seed=6), 11)
    ]
    assert engine.stats.decode_sequences_total <= 4 * engine.stats.decode_steps_total
    await engine.close()
    await roomy.close()


async def test_sequences_that_outgrow_the_memory_wait_and_finish_the_same(model_folder: Path) -> None:
    sampling = Sampling(max_tokens=150, seed=8, logit_bias=ENDLESS)
    small = load(str(model_folder), kv_cache_gib=1e-9)
    tight = await samples(small, PROMPT, sampling, n=6)
    assert small.stats.preemptions_total > 0
    roomy = load(str(model_folder))
    assert [s.text for s in tight] == [s.text for s in await samples(roomy, PROMPT, sampling, n=6)]
    await small.close()
    await roomy.close()


async def test_penalties_and_bias_change_what_is_drawn(embedded: TransformersEngine) -> None:
    (biased,) = await samples(embedded, PROMPT, Sampling(max_tokens=10, logit_bias={66: 100}))
    assert set(biased.token_ids) == {66}
    sampling = Sampling(max_tokens=40, temperature=0, logit_bias={66: 30, 67: 29, **ENDLESS}, frequency_penalty=2)
    (varied,) = await samples(embedded, PROMPT, sampling)
    assert {66, 67} < set(varied.token_ids)


async def test_truncation_keeps_only_likely_tokens(embedded: TransformersEngine, model_folder: Path) -> None:
    logprobs = hugging_face_logprobs(model_folder, PROMPT)[-1]
    order = logprobs.argsort(descending=True).tolist()
    probabilities = logprobs.exp()

    async def drawn(**options: Any) -> set[int]:
        got = await samples(embedded, PROMPT, Sampling(max_tokens=1, temperature=1, **options), n=200)
        return {s.token_ids[0] for s in got}

    assert await drawn(top_k=3) <= set(order[:3])
    nucleus = int((probabilities[order].cumsum(0) < 0.4).sum()) + 1
    assert await drawn(top_p=0.4) <= set(order[:nucleus])
    likely = {i for i in order if probabilities[i] >= 0.5 * probabilities[order[0]]}
    assert await drawn(min_p=0.5) <= likely
    assert len(await drawn()) > 3


async def test_draws_follow_the_distribution(embedded: TransformersEngine, model_folder: Path) -> None:
    expected = (hugging_face_logprobs(model_folder, PROMPT)[-1] / 0.7).softmax(-1)
    got = await samples(embedded, PROMPT, Sampling(max_tokens=1, temperature=0.7, seed=1), n=1000)
    counts = Counter(s.token_ids[0] for s in got)
    for token in expected.topk(5).indices.tolist():
        p = expected[token].item()
        assert counts[token] / 1000 == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 1000))


async def test_a_failure_reaches_every_caller(embedded: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr("deliberate.engines.transformers.scheduler.draw", broken)
    results = await asyncio.gather(
        samples(embedded, PROMPT, Sampling()),
        samples(embedded, PROMPT[1:], Sampling()),
        return_exceptions=True,
    )
    assert all(isinstance(r, EngineStopped) and "device lost" in str(r) for r in results)
    with pytest.raises(EngineStopped):
        await samples(embedded, PROMPT, Sampling())


async def test_logits_that_are_not_numbers_fail_the_sample(
    embedded: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deliberate.engines.transformers.model import CausalModel

    forward = CausalModel.forward
    monkeypatch.setattr(CausalModel, "forward", lambda *args: forward(*args) * float("nan"))
    for temperature in (0.0, 1.0):
        (sample,) = await samples(embedded, PROMPT, Sampling(temperature=temperature))
        assert sample.finish.reason == "error"


async def test_two_hundred_abandoned_calls_leave_nothing(embedded: TransformersEngine) -> None:
    async def impatient(i: int) -> None:
        try:
            async with asyncio.timeout(0.2):
                await deltas(embedded, [*PROMPT, i], Sampling(logit_bias=ENDLESS), 2)
        except TimeoutError:
            pass

    await asyncio.gather(*(impatient(i) for i in range(200)))
    await until_idle(embedded)
    assert len(await samples(embedded, PROMPT, Sampling(max_tokens=3))) == 1


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("llama", {}),
        ("qwen3", {"head_dim": 16}),
        ("mistral", {"sliding_window": 24}),
        ("phi3", {}),
        ("gemma2", {"head_dim": 8, "sliding_window": 24}),
        ("gemma3_text", {"head_dim": 8, "sliding_window": 24}),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
        ("gpt_neox", {}),
        ("mixtral", {"num_local_experts": 4}),
        ("olmo2", {}),
        ("granite", {"logits_scaling": 2.0}),
    ],
)
async def test_architectures(model_type: str, changes: dict[str, Any], tmp_path: Path) -> None:
    folder = make_model(tmp_path, model_type, scale=2.0, **changes)
    engine = load(str(folder))
    (sample,) = await samples(engine, PROMPT, Sampling(max_tokens=40, seed=1, logit_bias=ENDLESS))
    expected = hugging_face_logprobs(folder, PROMPT + list(sample.token_ids))[len(PROMPT) - 1 :]
    wanted = [expected[i, token].item() for i, token in enumerate(sample.token_ids)]
    assert list(sample.logprobs) == pytest.approx(wanted, abs=2e-3)
    await engine.close()


def test_a_model_that_keeps_no_keys_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "mamba", state_size=8, scale=1.0)
    with pytest.raises(InvalidRequest, match="mamba"):
        load(str(folder))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        load(str(tmp_path / "nowhere"))
