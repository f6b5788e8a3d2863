"""Generative reward models: language models that were trained to say + or - where a step ends.

Math-Shepherd (Wang 2023) reads them at the mark ` ки` that closes each step, RLHFlow's models (Dong 2024) before the
assistant's `+`.
"""

from collections.abc import Sequence

from deliberate.engines.protocol import Capabilities, Engine, EngineStats, Tokenizer


class MarkScorer:
    """log p(positive) - log p(negative) as the next token: the log-odds of a softmax over these two tokens alone.

    Infinite where one of the two has no probability at all, not a number where neither has any.
    """

    def __init__(self, engine: Engine, positive: int, negative: int) -> None:
        self._engine = engine
        self._marks = (positive, negative)

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    @property
    def tokenizer(self) -> Tokenizer:
        return self._engine.tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._engine.stats

    @property
    def failure(self) -> BaseException | None:
        return self._engine.failure

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        values = await self._engine.next_logprobs(sequences, positions, self._marks)
        return [tuple(positive - negative for positive, negative in said) for said in values]

    async def close(self) -> None:
        await self._engine.close()
