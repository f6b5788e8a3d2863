"""Drawing candidates in parallel: what every outcome-level strategy shares."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Annotated, ClassVar

from pydantic import Field, FiniteFloat

from deliberate.engines.protocol import Engine, Prompt, Sample, SampleBuilder, Sampling
from deliberate.search.events import Cancelled, Event, Failed, Sampled
from deliberate.search.strategy import Context, Strategy

MAX_WIDTH = 1024
"""Most candidates a request may ask for; a server's own ceiling is usually lower."""

STREAM_INTERVAL = 32
"""Tokens per delta where nobody watches them: few enough that a candidate that is cut short is counted well."""


class ParallelStrategy(Strategy, frozen=True):
    """A strategy that draws up to `n` whole candidates."""

    size_fields: ClassVar[tuple[str, ...]] = ("n",)
    n: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Candidates to sample."""
    min_temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] = 0.6
    """Floor for the request's temperature when n > 1: at temperature 0 all candidates would be the same."""

    @property
    def slots(self) -> int:
        return self.n

    def sampling(self, context: Context) -> Sampling:
        """The request's sampling, warm enough for candidates to differ."""
        if self.n == 1 or context.sampling.temperature >= self.min_temperature:
            return context.sampling
        return context.sampling.model_copy(update={"temperature": self.min_temperature})


class Wave:
    """Candidates `first` to `first + count - 1`, drawn together. Leaving the wave stops those still running."""

    def __init__(self, context: Context, sampling: Sampling, first: int, count: int) -> None:
        self._context = context
        self._sampling = sampling.model_copy(update={"seed": sampling.seed + first, "stream_interval": STREAM_INTERVAL})
        self._first = first
        self._running = {i: SampleBuilder() for i in range(count)}

    async def events(self) -> AsyncGenerator[Event, None]:
        """Sampled or Failed for each candidate, as they end."""
        deltas = self._context.engine.generate(self._context.prompt, self._sampling, len(self._running))
        async with aclosing(deltas):
            async for delta in deltas:
                sample = self._running[delta.index].add(delta)
                if sample is None:
                    continue
                del self._running[delta.index]
                index = self._first + delta.index
                if sample.finish.reason == "error":
                    yield Failed(index, sample.tokens, sample.finish.detail)
                else:
                    yield Sampled(index, sample)

    def cancelled(self) -> Iterator[Cancelled]:
        """One event for each candidate that had not ended when the wave was left."""
        for i, builder in self._running.items():
            yield Cancelled(self._first + i, builder.tokens)


async def draw(engine: Engine, prompt: Prompt, sampling: Sampling, builder: SampleBuilder | None = None) -> Sample:
    """One sample. A given builder holds what there was of it where the draw is cancelled."""
    builder = builder or SampleBuilder()
    async with aclosing(engine.generate(prompt, sampling)) as deltas:
        async for delta in deltas:
            if (sample := builder.add(delta)) is not None:
                return sample
    raise AssertionError("every sample of an engine ends")
