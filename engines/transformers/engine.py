"""The asynchronous face of the embedded engine: it samples from a language model and scores under it."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import torch

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.huggingface import HuggingFaceTokenizer, read_chat_template
from deliberate.engines.protocol import Capabilities, Delta, EngineStats, Prompt, Sampling
from deliberate.engines.transformers.model import CausalModel
from deliberate.engines.transformers.scheduler import Limits, Scheduler
from deliberate.engines.transformers.thread import ModelThread
from deliberate.engines.transformers.work import FollowingLogprobs, NextLogprobs, Prefill, Running

_SMALL = 50_000_000
"""Parameters below which a step's matrix products are too small to split: threads would only wait for each other."""


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
        """Temperature, top-p and top-k that the model's authors recommend, where they do."""
        config = self._model.generation_defaults
        values = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k", "min_p")}
        return {name: value for name, value in values.items() if value is not None}

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

    async def close(self) -> None:
        await self._thread.close()


def load(
    path: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    max_batch: int | None = None,
    max_model_len: int | None = None,
    kv_cache_gib: float | None = None,
    threads: int | None = None,
    chat_template: Path | None = None,
) -> TransformersEngine:
    """Load a model folder or hub id and start its engine.

    `max_batch`: sequences that run at once (64 on CPU, 256 on a GPU). `max_model_len`: a context shorter than the
    model's. `kv_cache_gib`: memory for keys and values, half of it for finished prefixes. `threads`: CPU threads of
    torch in the whole process (one for models under 50M parameters, else as many as cores).

    Raises InvalidRequest, saying why, for a model that cannot be loaded or run right.
    """
    model = CausalModel(path, device, dtype)
    if threads is None and model.parameters < _SMALL:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)
    if max_model_len is not None:
        if not 1 < max_model_len <= model.context_length:
            raise InvalidRequest(f"max_model_len {max_model_len} is not in 2 to {model.context_length}.")
        model.context_length = max_model_len
    tokenizer = HuggingFaceTokenizer(path, read_chat_template(chat_template))
    return TransformersEngine(model, tokenizer, _limits(model, max_batch, kv_cache_gib))


def _limits(model: CausalModel, max_batch: int | None, kv_cache_gib: float | None) -> Limits:
    on_cpu = model.device.type == "cpu"
    batch = max_batch or (64 if on_cpu else 256)
    memory = _spare_memory(model.device) if kv_cache_gib is None else kv_cache_gib * 2**30
    tokens = max(model.context_length, int(memory / 2 / model.kv_bytes_per_token))
    return Limits(batch, tokens, min(tokens, 64 * model.context_length), prefill_tokens=1024 if on_cpu else 4096)


def _spare_memory(device: torch.device) -> float:
    """Bytes for keys and values when nobody said how many."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return 0.6 * free
    return min(8 * 2**30, 0.25 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _as_set(ids: int | list[int] | None) -> frozenset[int]:
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
