"""What every engine promises."""

import asyncio
from contextlib import aclosing

import pytest

from deliberate.engines.errors import ContextOverflow, EngineStopped, InvalidRequest
from deliberate.engines.protocol import Engine, Prompt, Sampling

from .sampling import deltas, samples, until_idle
from .with_vllm import STARTS_VLLM

# vLLM belongs to the event loop in which it started, and starts once per session; that takes a while.
pytestmark = [STARTS_VLLM, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


def prompt_of(engine: Engine, text: str = "What is 2 + 3?") -> list[int]:
    return engine.tokenizer.apply_chat_template([{"role": "user", "content": text}])


def context_of(engine: Engine) -> int:
    assert engine.capabilities.context_length is not None
    return engine.capabilities.context_length


async def test_every_sample_ends_once(engine: Engine) -> None:
    got = await deltas(engine, prompt_of(engine), Sampling(max_tokens=12, seed=3), n=4)
    assert sorted(d.index for d in got if d.finish) == [0, 1, 2, 3]
    assert all(len(d.token_ids) == len(d.logprobs) == len(d.top_logprobs) for d in got)
    assert all(logprob <= 0 for d in got for logprob in d.logprobs)


async def test_max_tokens_is_exact_and_says_length(engine: Engine) -> None:
    (sample,) = await samples(engine, prompt_of(engine), Sampling(max_tokens=5, logit_bias={256: -100}))
    assert len(sample.token_ids) == 5
    assert sample.finish.reason == "length"


async def test_text_is_the_decoded_tokens(engine: Engine) -> None:
    for sample in await samples(engine, prompt_of(engine), Sampling(max_tokens=40), n=3):
        assert sample.text == engine.tokenizer.decode(sample.token_ids)


async def test_no_delta_splits_a_character(engine: Engine) -> None:
    got = await deltas(engine, prompt_of(engine), Sampling(max_tokens=64, seed=1), n=2)
    for index in range(2):
        pieces = [d.text for d in got if d.index == index]
        whole = engine.tokenizer.decode([t for d in got if d.index == index for t in d.token_ids])
        assert "".join(pieces) == whole


async def test_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    sampling = Sampling(max_tokens=60, seed=11, logit_bias={256: -100})
    (whole,) = await samples(engine, prompt_of(engine), sampling)
    stop = whole.text[4:7]
    assert len(stop) == 3, "the stop string spans tokens"
    # The scripted engine's replies take turns: the second sample of a call repeats the first call's reply.
    offset = 1 if hasattr(engine, "calls") else 0
    stopped = (await samples(engine, prompt_of(engine), sampling.model_copy(update={"stop": (stop,)}), n=1 + offset))[
        offset
    ]
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish.reason == "stop"
    assert stopped.finish.matched == stop
    assert stopped.token_ids == whole.token_ids[: len(stopped.token_ids)]


async def test_a_stop_string_that_never_completes_is_text(engine: Engine) -> None:
    sampling = Sampling(max_tokens=20, seed=11, logit_bias={256: -100})
    (whole,) = await samples(engine, prompt_of(engine), sampling)
    beginning = whole.text[-2:] + "\0never"
    offset = 1 if hasattr(engine, "calls") else 0
    got = await samples(engine, prompt_of(engine), sampling.model_copy(update={"stop": (beginning,)}), n=1 + offset)
    assert got[offset].text == whole.text


async def test_stop_token_is_kept_and_reported(engine: Engine) -> None:
    sampling = Sampling(max_tokens=60, seed=11, logit_bias={256: -100})
    (whole,) = await samples(engine, prompt_of(engine), sampling)
    stop = whole.token_ids[3]
    offset = 1 if hasattr(engine, "calls") else 0
    got = await samples(engine, prompt_of(engine), sampling.model_copy(update={"stop_token_ids": (stop,)}), 1 + offset)
    assert got[offset].finish.matched == stop
    assert got[offset].token_ids == whole.token_ids[: whole.token_ids.index(stop) + 1]


async def test_prompt_that_fills_the_context_is_refused(engine: Engine) -> None:
    prompt = [65] * context_of(engine)
    before = engine.stats
    with pytest.raises(ContextOverflow, match=f"{len(prompt)} tokens.*holds {len(prompt)}"):
        await samples(engine, prompt, Sampling())
    assert engine.stats == before


async def test_context_ends_a_sample_with_length(engine: Engine) -> None:
    prompt = [65] * (context_of(engine) - 3)
    (sample,) = await samples(engine, prompt, Sampling(logit_bias={256: -100}))
    assert len(sample.token_ids) == 3
    assert sample.finish.reason == "length"


async def test_closing_the_generator_stops_the_work(engine: Engine) -> None:
    async with aclosing(
        engine.generate(Prompt(tuple(prompt_of(engine))), Sampling(logit_bias={256: -100}), 4)
    ) as stream:
        await anext(stream)
        assert engine.stats.running > 0
    await until_idle(engine)


async def test_cancelling_the_task_stops_the_work(engine: Engine) -> None:
    task = asyncio.create_task(samples(engine, prompt_of(engine), Sampling(logit_bias={256: -100}), 4))
    while not engine.stats.running:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle(engine)


async def test_scores_cover_the_tokens_from_start(engine: Engine) -> None:
    sequences = [[65, 66, 67, 68, 69], [65, 66], [70] * 40]
    scores = await engine.score(sequences, [1, 2, 30])
    assert [len(s) for s in scores] == [4, 0, 10]
    assert all(value <= 0 for s in scores for value in s)


async def test_scores_need_a_token_before(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="token 1"):
        await engine.score([[65, 66]], [0])


async def test_tokenizer_is_lossless(engine: Engine) -> None:
    text = "naïve 数学 🎉\n\n  2+2=4\t<think>"
    ids = engine.tokenizer.encode(text)
    assert engine.tokenizer.decode(ids) == text
    assert b"".join(map(engine.tokenizer.token_bytes, ids)).decode() == text


async def test_next_logprobs_are_what_score_gives_the_token(engine: Engine) -> None:
    chain = prompt_of(engine)
    (values,) = await engine.next_logprobs([chain], [[0, 3, len(chain) - 1]], [65, 66, 67])
    assert [len(at) for at in values] == [3, 3, 3]
    for position, at in zip([0, 3, len(chain) - 1], values, strict=True):
        continued = [[*chain[: position + 1], token] for token in (65, 66, 67)]
        scores = await engine.score(continued, [position + 1] * 3)
        assert list(at) == pytest.approx([score[0] for score in scores], abs=1e-3)


async def test_next_logprobs_need_positions_within_the_sequence(engine: Engine) -> None:
    for positions in ([3], [-1], [1, 0]):
        with pytest.raises(InvalidRequest, match="within 0 to 2"):
            await engine.next_logprobs([[65, 66, 67]], [positions], [65])
    assert await engine.next_logprobs([[65, 66, 67]], [[]], [65]) == [()]


async def test_reading_a_chain_step_by_step_reads_it_about_once(engine: Engine, request: pytest.FixtureRequest) -> None:
    # The scripted engine reads nothing, and our own server does not tell its callers what its cache held.
    tells_what_it_read = request.node.callspec.params["engine"] not in ("scripted", "openai-deliberate")
    step = engine.tokenizer.encode("So it is 2 + 3 = 5, then.\n")[:24]
    chain = prompt_of(engine)
    ends: list[int] = []
    before = engine.stats.prefill_tokens_total
    values: list[float] = []
    for _ in range(12):
        chain = chain + step
        ends.append(len(chain) - 1)
        ((at,),) = await engine.next_logprobs([chain], [[ends[-1]]], [65])
        values += at
    if tells_what_it_read:
        assert 0 < engine.stats.prefill_tokens_total - before <= 1.5 * len(chain)
    (whole,) = await engine.next_logprobs([chain], [ends], [65])
    assert values == pytest.approx([at[0] for at in whole], abs=1e-3)


async def test_a_closed_engine_says_so(engine: Engine) -> None:
    await engine.close()
    assert engine.failure is not None
    with pytest.raises(EngineStopped):
        await samples(engine, prompt_of(engine), Sampling())
