"""Samples of token ids go on where a broken answer left off: nothing is lost, nothing comes twice."""

import asyncio
from typing import Literal

import pytest

from deliberate.engines.errors import UpstreamFailed
from deliberate.engines.protocol import Prompt, SampleBuilder, Sampling, StructuredOutput, Tokenizer

from ..sampling import deltas, samples, until_idle
from .conftest import STORY, MakeEngine, MakeUpstream
from .fake_upstream import PROMPT, Fault

PROMPT_IDS = [65] * PROMPT


@pytest.mark.parametrize("then", ["end", "drop", "hang"])
async def test_a_broken_sample_goes_on(
    then: Literal["end", "drop", "hang"], tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(faults=[Fault(after=9, then=then), Fault(after=5, then=then)])
    engine = engine_of(server)
    (sample,) = await samples(engine, PROMPT_IDS, Sampling(max_tokens=50))
    assert sample.token_ids == tuple(tokenizer.encode(STORY)[:50])
    assert sample.text == tokenizer.decode(sample.token_ids)
    assert len(sample.logprobs) == 50
    assert [len(asked.body["prompt"]) - PROMPT for asked in server.asked] == [0, 9, 14]
    assert [asked.body["max_tokens"] for asked in server.asked] == [50, 41, 36]
    assert len({asked.body["seed"] for asked in server.asked}) == 3
    assert engine.stats.generated_tokens_total == 50
    await until_idle(engine)


async def test_only_what_is_unfinished_is_asked_again(
    tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(faults=[Fault(after=3, then="drop")])
    got = await samples(engine_of(server), PROMPT_IDS, Sampling(max_tokens=20), n=4)
    assert [sample.token_ids for sample in got] == [tuple(tokenizer.encode(STORY)[:20])] * 4
    assert [asked.body["n"] for asked in server.asked] == [4, 1, 1, 1, 1]


async def test_what_never_began_is_asked_again_at_once(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(faults=[Fault(status=503)])
    await samples(engine_of(server), PROMPT_IDS, Sampling(max_tokens=5, seed=8), n=4)
    assert [(asked.body["n"], asked.body["seed"]) for asked in server.asked] == [(4, 8), (4, 8)]


@pytest.mark.parametrize("cut", range(1, 8))
async def test_a_stop_string_may_span_the_cut(
    cut: int, tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(faults=[Fault(after=cut, then="drop")], story="abc, then more and more")
    (sample,) = await samples(engine_of(server), PROMPT_IDS, Sampling(max_tokens=20, stop=(", the",)))
    assert sample.text == "abc"
    assert sample.finish.matched == ", the"
    assert tokenizer.decode(sample.token_ids) == "abc, the"


@pytest.mark.parametrize("cut", range(1, 8))
async def test_a_character_may_span_the_cut(
    cut: int, tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(faults=[Fault(after=cut, then="drop")], story="a🎉€ é")
    got = await deltas(engine_of(server), PROMPT_IDS, Sampling())
    assert "".join(delta.text for delta in got) == "a🎉€ é"
    assert not any("\ufffd" in delta.text for delta in got)


async def test_a_structured_sample_begins_anew(
    tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    server = upstream(faults=[Fault(after=3, then="drop")])
    sampling = Sampling(max_tokens=12, structured_output=StructuredOutput(regex=".*"))
    got = await deltas(engine_of(server), PROMPT_IDS, sampling)
    assert [delta.restart for delta in got].index(True) == 3
    builder = SampleBuilder()
    sample = [builder.add(delta) for delta in got][-1]
    assert sample is not None
    assert sample.token_ids == tuple(tokenizer.encode(STORY)[:12])
    assert [len(asked.body["prompt"]) for asked in server.asked] == [PROMPT, PROMPT]
    assert server.asked[0].body["structured_outputs"] == {"regex": ".*"}


async def test_a_lost_sample_among_others_is_an_error_of_its_own(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    """Greedy samples are requests of their own: here one of two breaks at every attempt."""
    server = upstream(story="abcdef")
    broken = Fault(after=1, status=200, body=b"data: {nonsense}\n\n")
    server.fault_of = lambda body: broken if body["seed"] else None
    first, second = await samples(engine_of(server), PROMPT_IDS, Sampling(temperature=0, max_tokens=6), n=2)
    assert first.text == "abcdef"
    assert second.finish.reason == "error"
    assert server.url in second.finish.detail
    assert "{nonsense}" in second.finish.detail


async def test_all_samples_lost_is_an_error_of_the_call(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream()
    server.fault_of = lambda body: Fault(after=1, then="drop")
    with pytest.raises(UpstreamFailed, match=server.url):
        await samples(engine_of(server), PROMPT_IDS, Sampling(max_tokens=20), n=2)


async def test_closing_ends_the_work_upstream(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(token_seconds=0.01, story=STORY * 5)
    engine = engine_of(server)
    stream = engine.generate(Prompt(tuple(PROMPT_IDS)), Sampling(max_tokens=300), 3)
    await anext(stream)
    assert server.running == 1
    await stream.aclose()
    await until_idle(engine)
    async with asyncio.timeout(5):
        while server.running:
            await asyncio.sleep(0.01)
