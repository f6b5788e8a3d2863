"""No search: the plain samples an OpenAI server gives."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar, Literal

from deliberate.engines.protocol import SampleBuilder
from deliberate.search.errors import every_sample_failed
from deliberate.search.events import Choice, Chosen, Event, Failed, Sampled, Streamed
from deliberate.search.strategy import Context, Strategy
from deliberate.verifiers.protocol import VerifierConfig


class NoSearch(Strategy, frozen=True):
    """Sample OpenAI's `n` choices independently and return them all, streaming their tokens as they come."""

    kind: Literal["none"] = "none"
    alias: ClassVar[str] = "none"
    size_fields: ClassVar[tuple[str, ...]] = ("n",)
    """It has no such option: `none-1` is `none`, and other numbers are refused."""

    @property
    def slots(self) -> int:
        return 1

    @property
    def size(self) -> tuple[int, ...]:
        return (1,)

    @classmethod
    def of_size(cls, size: tuple[int, ...], verifier: VerifierConfig | None) -> "NoSearch":
        return cls.model_validate({} if size == (1,) and verifier is None else {"n": size[0], "verifier": verifier})

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        builders = [SampleBuilder() for _ in range(context.choices)]
        ended: list[Choice] = []
        failures: list[Failed] = []
        deltas = context.engine.generate(context.prompt, context.sampling, context.choices)
        async with aclosing(deltas):
            async for delta in deltas:
                yield Streamed(delta.index, delta)
                sample = builders[delta.index].add(delta)
                if sample is None:
                    continue
                if sample.finish.reason == "error":
                    failures.append(Failed(delta.index, sample.tokens, sample.finish.detail))
                    yield failures[-1]
                else:
                    ended.append(Choice(delta.index, 1.0))
                    yield Sampled(delta.index, sample)
        if not ended:
            raise every_sample_failed(failures)
        yield Chosen(tuple(sorted(ended, key=lambda c: c.index)), "every sample ended")
