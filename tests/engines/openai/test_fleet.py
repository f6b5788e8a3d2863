"""Several replicas of one model: searches stay where they began, and survive what happens to their servers."""

import asyncio
import time
from collections import Counter
from contextlib import aclosing

import pytest

from deliberate.engines.errors import DeliberateError, Overloaded, UpstreamFailed
from deliberate.engines.protocol import Engine, Prompt, Sample, Sampling, Tokenizer

from ..sampling import samples, until_idle
from .conftest import STORY, MakeEngine, MakeUpstream
from .fake_upstream import PROMPT


def prompt(number: int) -> list[int]:
    """One of many of the same length."""
    return [65 + number % 26, *[66 + number // 26] * (PROMPT - 1)]


async def test_one_of_two_dies_in_the_middle_of_fifty_searches(
    tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    fleet = [upstream(token_seconds=0.01), upstream(token_seconds=0.01)]
    engine = engine_of(*fleet)
    sampling = Sampling(max_tokens=60)
    searches = [asyncio.create_task(samples(engine, prompt(i), sampling, n=2)) for i in range(50)]
    while not all(server.running > 10 for server in fleet) or engine.stats.generated_tokens_total < 500:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(fleet[0].kill)
    got: list[Sample] = [sample for search in await asyncio.gather(*searches) for sample in search]
    assert len(got) == 100
    assert {sample.token_ids for sample in got} == {tuple(tokenizer.encode(STORY)[:60])}
    assert {sample.text for sample in got} == {tokenizer.decode(tokenizer.encode(STORY)[:60])}
    assert any(len(asked.body["prompt"]) > PROMPT for asked in fleet[1].asked), "some went on in the middle"
    await until_idle(engine)


async def test_both_die_and_come_back(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    fleet = [upstream(token_seconds=0.01), upstream(token_seconds=0.01)]
    engine = engine_of(*fleet)
    running = asyncio.create_task(samples(engine, prompt(0), Sampling(max_tokens=60), n=2))
    while not engine.stats.running:
        await asyncio.sleep(0.01)
    for server in fleet:
        await asyncio.to_thread(server.kill)
    with pytest.raises((Overloaded, UpstreamFailed)):
        await running
    began = time.monotonic()
    with pytest.raises(Overloaded, match=f"{fleet[0].url}, {fleet[1].url}") as caught:
        await samples(engine, prompt(1), Sampling(max_tokens=3))
    assert time.monotonic() - began < 3
    assert caught.value.retry_after > 0
    assert isinstance(engine.failure, Overloaded)
    fleet[1].start()
    await until_up(engine)
    (sample,) = await samples(engine, prompt(1), Sampling(max_tokens=3))
    assert len(sample.token_ids) == 3


async def until_up(engine: Engine) -> None:
    async with asyncio.timeout(20):
        while engine.failure is not None:
            await asyncio.sleep(0.05)


async def test_a_search_stays_where_it_began(
    tokenizer: Tokenizer, upstream: MakeUpstream, engine_of: MakeEngine
) -> None:
    fleet = [upstream(), upstream(), upstream()]
    engine = engine_of(*fleet)
    story = tokenizer.encode(STORY)
    for number in range(30):
        steps = [prompt(number) + story[:length] for length in (0, 8, 24, 48)]
        before = [len(server.asked) for server in fleet]
        for step in steps:
            await samples(engine, step, Sampling(max_tokens=1))
        asked = [len(server.asked) - count for server, count in zip(fleet, before, strict=True)]
        assert sorted(asked) == [0, 0, 4]
    assert min(len(server.asked) for server in fleet) >= 4 * 3, "searches are spread"


async def test_prompts_that_share_a_long_beginning_are_spread(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    fleet = [upstream(story="a" * 300), upstream(story="a" * 300)]
    engine = engine_of(*fleet)
    system = [70] * 128
    for number in range(40):
        await samples(engine, system + [65 + number % 20] * 16 + [66 + number // 20] * 4, Sampling(max_tokens=1))
    assert min(len(server.asked) for server in fleet) >= 10


async def test_a_busy_replica_is_passed_over(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    """The same prompt from everybody: its replica takes its share, and the other one the rest."""
    fleet = [upstream(token_seconds=0.02), upstream(token_seconds=0.02)]
    engine = engine_of(*fleet)
    await asyncio.gather(*[samples(engine, prompt(0), Sampling(max_tokens=10), n=8) for _ in range(12)])
    shares = Counter(len(server.asked) for server in fleet)
    assert min(shares) >= 3


async def test_one_that_was_down_at_the_start_joins(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    up, late = upstream(), upstream()
    late.kill()
    engine = engine_of(up, late)
    assert engine.failure is None
    late.start()
    async with asyncio.timeout(20):
        number = 0
        while not late.asked:
            await samples(engine, prompt(number), Sampling(max_tokens=1))
            await asyncio.sleep(0.02)
            number += 1


async def test_a_closed_engine_breaks_its_samples_off(upstream: MakeUpstream, engine_of: MakeEngine) -> None:
    server = upstream(token_seconds=0.01, story=STORY * 5)
    engine = engine_of(server)
    with pytest.raises(DeliberateError, match="closed"):
        async with aclosing(engine.generate(Prompt(tuple(prompt(0))), Sampling(max_tokens=300), 2)) as stream:
            async for _ in stream:
                await engine.close()
    await until_idle(engine)
