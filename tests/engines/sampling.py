"""Running an engine to the end, for tests."""

import asyncio
from collections.abc import Sequence

from deliberate.engines.protocol import Delta, Engine, Prompt, Sample, SampleBuilder, Sampling


async def deltas(engine: Engine, prompt: Sequence[int], sampling: Sampling, n: int = 1) -> list[Delta]:
    """Everything a call yields."""
    return [delta async for delta in engine.generate(Prompt(tuple(prompt)), sampling, n)]


async def samples(engine: Engine, prompt: Sequence[int], sampling: Sampling, n: int = 1) -> list[Sample]:
    """The n samples of a call."""
    builders = [SampleBuilder() for _ in range(n)]
    done: dict[int, Sample] = {}
    for delta in await deltas(engine, prompt, sampling, n):
        assert delta.index not in done, "a sample went on after its end"
        if (sample := builders[delta.index].add(delta)) is not None:
            done[delta.index] = sample
    return [done[i] for i in range(n)]


async def until_idle(engine: Engine, seconds: float = 5.0) -> None:
    """Wait until nothing runs or waits in the engine; fail after this time."""
    async with asyncio.timeout(seconds):
        while engine.stats.running or engine.stats.waiting:
            await asyncio.sleep(0.005)
