"""Groups of samples of one prompt, drawn from an engine that may lose some."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from deliberate.engines.errors import InvalidRequest, Overloaded, UpstreamFailed
from deliberate.engines.merging import together
from deliberate.engines.protocol import Engine, Prompt, Sample, SampleBuilder, Sampling

_STREAM_INTERVAL = 64
"""Tokens per delta: nobody watches them, but a server that is silent for long counts as broken."""
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long samples that servers lose are asked for again: engines have tried several times by then."""

    retries: int = 4
    first_seconds: float = 2.0
    """Before the first retry; twice as long before each further one, but no more than a minute."""

    async def wait(self, retry: int) -> None:
        """Before the given retry, counted from 0."""
        await asyncio.sleep(min(_LONGEST_SECONDS, self.first_seconds * 2**retry))


@dataclass(slots=True)
class Group:
    """Samples of a prompt by their number; sample i is drawn with seed `seed + i` whenever it is asked for."""

    engine: Engine
    prompt: Prompt
    sampling: Sampling
    n: int
    samples: dict[int, Sample] = field(default_factory=dict[int, Sample])
    failure: str = ""
    """Why the last one that failed did."""

    async def draw(self, patience: Patience) -> list[Sample]:
        """Those that came to an end, by number.

        Raises InvalidRequest where the engine refuses the prompt or ends every sample with an error, and Overloaded or
        UpstreamFailed where a server is gone for longer than the patience lasts.
        """
        for retry in range(patience.retries + 1):
            try:
                await self._ask()
            except (Overloaded, UpstreamFailed) as error:
                if retry == patience.retries and not self.samples:
                    raise
                self.failure = str(error)
            if len(self.samples) == self.n:
                break
            if retry < patience.retries:
                await patience.wait(retry)
        if not self.samples:
            raise InvalidRequest(f"No sample came to an end: {self.failure}.")
        return [self.samples[i] for i in sorted(self.samples)]

    @property
    def tokens(self) -> int:
        """Generated."""
        return sum(sample.tokens for sample in self.samples.values())

    @property
    def prompt_tokens(self) -> int:
        """Read: once for all samples, or by an engine behind a chat API once for each."""
        told = sum(sample.finish.prompt_tokens or 0 for sample in self.samples.values())
        return len(self.prompt.token_ids) or told

    async def _ask(self) -> None:
        """Draw those that are missing."""
        missing = [i for i in range(self.n) if i not in self.samples]
        if len(missing) == self.n:
            await self._run(0, self.n)
        else:
            await together([self._run(i, 1) for i in missing])

    async def _run(self, first: int, count: int) -> None:
        sampling = self.sampling.model_copy(
            update={"seed": self.sampling.seed + first, "stream_interval": _STREAM_INTERVAL}
        )
        builders = [SampleBuilder() for _ in range(count)]
        async with aclosing(self.engine.generate(self.prompt, sampling, count)) as deltas:
            async for delta in deltas:
                sample = builders[delta.index].add(delta)
                if sample is None:
                    continue
                if sample.finish.reason == "error":
                    self.failure = sample.finish.detail
                else:
                    self.samples[first + delta.index] = sample
