"""A reward model as the verifiers ask it: its head's values at given tokens."""

from collections.abc import Sequence

import torch

from deliberate.engines.checks import check_positions
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.engines.protocol import Capabilities, EngineStats
from deliberate.engines.transformers.model import CausalModel
from deliberate.engines.transformers.scheduler import Limits, Scheduler
from deliberate.engines.transformers.thread import ModelThread
from deliberate.engines.transformers.work import Reading


class TransformersScorer:
    """Scores under one reward model, reading what is new alone. Made by `load_scorer`."""

    def __init__(self, model: CausalModel, tokenizer: HuggingFaceTokenizer, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._thread = ModelThread(Scheduler(model, limits))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self._model.context_length, self._model.vocabulary_size)

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        return self._tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._thread.stats

    @property
    def failure(self) -> BaseException | None:
        return self._thread.failure

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        self._thread.require_alive()
        check_positions(self.capabilities, sequences, positions)
        readings = [_LogOdds(self._model, i, asked) for i, asked in enumerate(positions)]
        return await self._thread.read(sequences, readings)

    async def close(self) -> None:
        await self._thread.close()


class _LogOdds(Reading):
    """What the reward head says after each position."""

    def __init__(self, model: CausalModel, index: int, positions: Sequence[int]) -> None:
        super().__init__(index, positions)
        self._model = model

    def take(self, positions: Sequence[int], outputs: torch.Tensor) -> None:
        self.values += self._model.meaning(outputs).tolist()
