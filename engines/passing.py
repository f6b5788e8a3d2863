"""Models that stand before another one and pass on what they do not change."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from deliberate.engines.protocol import Capabilities, Engine, EngineStats, RunningModel, Tokenizer

M = TypeVar("M", bound=RunningModel)


class PassingModel(Generic[M]):
    """Looks and ends like the model behind it."""

    def __init__(self, behind: M) -> None:
        self._behind = behind

    @property
    def capabilities(self) -> Capabilities:
        return self._behind.capabilities

    @property
    def tokenizer(self) -> Tokenizer:
        return self._behind.tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._behind.stats

    @property
    def failure(self) -> BaseException | None:
        return self._behind.failure

    async def close(self) -> None:
        await self._behind.close()


class PassingEngine(PassingModel[Engine]):
    """Scores like the engine behind it; how it generates is for others to say."""

    @property
    def sampling_defaults(self) -> Mapping[str, float]:
        return self._behind.sampling_defaults

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        return await self._behind.score(sequences, starts)

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        return await self._behind.next_logprobs(sequences, positions, tokens)
