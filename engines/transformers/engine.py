"""The asynchronous face of the embedded engine: it samples from a language model and scores under it."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import torch

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.huggingface import HuggingFaceTokenizer, recommended_sampling
from deliberate.engines.protocol import Capabilities, Delta, EngineStats, Prompt, Sampling
from deliberate.engines.transformers.model import CausalModel
from deliberate.engines.transformers.scheduler import Limits, Scheduler
from deliberate.engines.transformers.thread import ModelThread
from deliberate.engines.transformers.work import FollowingLogprobs, NextLogprobs, Prefill, Running


class TransformersEngine:
    """Samples from and scores under one model, with continuous batching. Made by `load`."""

    def __init__(self, model: CausalModel, tokenizer: HuggingFaceTokenizer, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self.end_of_sequence = tokenizer.end_of_sequence | _as_set(model.generation_defaults.eos_token_id)
        """Tokens that end a sample by themselves."""
        self._model = model
        self._thread = ModelThread(Scheduler(model, limits, self.end_of_sequence))

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

    @property
    def sampling_defaults(self) -> Mapping[str, float]:
        return recommended_sampling(self._model.generation_defaults)

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        self._thread.require_alive()
        tokens = prompt.token_ids
        limit = room_for(self.capabilities, tokens, sampling)
        call = self._thread.open()
        sequences = [Running(call, i, tokens, sampling, limit, self._tokenizer.stream()) for i in range(n)]
        self._thread.submit([Prefill(call, tokens, sequences)])
        unfinished = n
        try:
            while unfinished:
                for delta in await self._thread.result(call, list[Delta]):
                    unfinished -= delta.finish is not None
                    yield delta
        finally:
            self._thread.close_call(call, unfinished > 0)

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        self._thread.require_alive()
        check_starts(self.capabilities, sequences, starts)
        pairs = enumerate(zip(sequences, starts, strict=True))
        readings = [FollowingLogprobs(i, tokens, start) for i, (tokens, start) in pairs]
        return await self._thread.read(sequences, readings)

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        self._thread.require_alive()
        check_positions(self.capabilities, sequences, positions)
        return await self._thread.read(sequences, [NextLogprobs(i, asked, tokens) for i, asked in enumerate(positions)])

    async def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Go on with other weights of the same model, by their names in its folder, and forget what the old ones read.

        Raises InvalidRequest where the weights are of another model, or while anything runs.
        """
        self._thread.require_alive()
        await self._thread.when_idle(lambda scheduler: scheduler.load_weights(weights))

    async def close(self) -> None:
        await self._thread.close()


def _as_set(ids: int | list[int] | None) -> frozenset[int]:
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
