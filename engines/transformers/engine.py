"""The asynchronous face of the embedded engine: calls go into its thread, deltas come out."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import torch

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.errors import EngineStopped, InvalidRequest
from deliberate.engines.protocol import Capabilities, Delta, EngineStats, Prompt, Sampling
from deliberate.engines.transformers.model import CausalModel
from deliberate.engines.transformers.scheduler import Limits, Scheduler
from deliberate.engines.transformers.tokenizer import HuggingFaceTokenizer, read_chat_template
from deliberate.engines.transformers.work import Call, FollowingLogprobs, NextLogprobs, Prefill, Reading, Running

_SEND_EVERY_S = 0.05
"""Deltas of a running call are sent at most this often: a person cannot tell, and the event loop stays free."""

T = TypeVar("T")

_SMALL = 50_000_000
"""Parameters below which a step's matrix products are too small to split: threads would only wait for each other."""

_Command = Callable[[Scheduler], None]


class TransformersEngine:
    """Samples from and scores under one model, with continuous batching. Made by `load`."""

    def __init__(self, model: CausalModel, tokenizer: HuggingFaceTokenizer, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self.end_of_sequence = tokenizer.end_of_sequence | _as_set(model.generation_defaults.eos_token_id)
        """Tokens that end a sample by themselves."""
        self._model = model
        self._scheduler = Scheduler(model, limits, self.end_of_sequence)
        self._inbox: SimpleQueue[_Command | None] = SimpleQueue()
        self._calls: set[Call] = set()
        self._failure: BaseException | None = None
        self._last_sent = time.monotonic()
        # A daemon, so that a program that forgot to close its engine can end.
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self._model.context_length, self._model.vocabulary_size)

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        return self._tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._scheduler.stats

    @property
    def failure(self) -> BaseException | None:
        return self._failure

    @property
    def sampling_defaults(self) -> Mapping[str, float]:
        """Temperature, top-p and top-k that the model's authors recommend, where they do."""
        config = self._model.generation_defaults
        values = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k", "min_p")}
        return {name: value for name, value in values.items() if value is not None}

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        self._require_alive()
        tokens = prompt.token_ids
        limit = room_for(self.capabilities, tokens, sampling)
        call = self._open()
        sequences = [Running(call, i, tokens, sampling, limit, self._tokenizer.stream()) for i in range(n)]
        self._inbox.put(lambda scheduler: scheduler.submit([Prefill(call, tokens, sequences)]))
        unfinished = n
        try:
            while unfinished:
                for delta in await self._next(call, list[Delta]):
                    unfinished -= delta.finish is not None
                    yield delta
        finally:
            self._close_call(call, unfinished > 0)

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        self._require_alive()
        check_starts(self.capabilities, sequences, starts)
        pairs = enumerate(zip(sequences, starts, strict=True))
        readings = [FollowingLogprobs(i, tokens, start) for i, (tokens, start) in pairs]
        return await self._read(sequences, readings)

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        self._require_alive()
        check_positions(self.capabilities, sequences, positions)
        return await self._read(sequences, [NextLogprobs(i, asked, tokens) for i, asked in enumerate(positions)])

    async def close(self) -> None:
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    # The caller's side

    async def _read(self, sequences: Sequence[Sequence[int]], readings: Sequence[Reading]) -> list[Any]:
        """The values of each reading; sequences are read no further than their last wanted position."""
        call = self._open()
        work = [
            Prefill(call, tuple(tokens[: reading.positions[-1] + 1]), reading=reading)
            for tokens, reading in zip(sequences, readings, strict=True)
            if reading.positions
        ]
        self._inbox.put(lambda scheduler: scheduler.submit(work))
        values: list[Any] = [()] * len(readings)
        unread = len(work)
        try:
            while unread:
                index, values_read = await self._next(call, tuple[int, tuple[Any, ...]])
                values[index] = values_read
                unread -= 1
        finally:
            self._close_call(call, unread > 0)
        return values

    def _require_alive(self) -> None:
        if self._failure is not None:
            raise EngineStopped(f"The engine stopped: {self._failure!r}") from self._failure

    def _open(self) -> Call:
        call = Call()
        self._calls.add(call)
        return call

    async def _next(self, call: Call, kind: type[T]) -> T:
        result = await call.result()
        self._require_alive()
        return result  # pyright: ignore[reportReturnType]

    def _close_call(self, call: Call, unfinished: bool) -> None:
        self._calls.discard(call)
        if unfinished:
            self._inbox.put(lambda scheduler: scheduler.abort(call))

    # The engine's thread

    def _run(self) -> None:
        """The thread's boundary: whatever ends it becomes the failure that every caller is told."""
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001
            self._failure = error
        else:
            self._failure = EngineStopped("it was closed")
        Call.deliver([(call, None) for call in list(self._calls)])

    @torch.inference_mode()
    def _serve(self) -> None:
        while self._obey():
            if not self._scheduler.idle:
                self._scheduler.step()
                self._send()

    def _obey(self) -> bool:
        """Carry out what callers asked for, waiting for it when there is nothing else; False to stop."""
        block = self._scheduler.idle
        while True:
            try:
                command = self._inbox.get(block=block)
            except Empty:
                return True
            if command is None:
                return False
            command(self._scheduler)
            block = False

    def _send(self) -> None:
        """Deliver what finished, and from time to time what runs."""
        scheduler = self._scheduler
        outgoing, scheduler.finished = scheduler.finished, []
        results, scheduler.read = scheduler.read, []
        now = time.monotonic()
        if now - self._last_sent >= _SEND_EVERY_S:
            self._last_sent = now
            outgoing = outgoing + scheduler.running
        deltas: dict[Call, list[Delta]] = {}
        for sequence in outgoing:
            deltas.setdefault(sequence.call, []).append(sequence.take_delta())
        Call.deliver([*results, *deltas.items()])


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
