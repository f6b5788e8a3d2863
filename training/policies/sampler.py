"""Sampling from a policy as it is now: token ids and log-probabilities go to the trainer as they were drawn."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from torch import Tensor

from deliberate.engines.errors import SearchFailed
from deliberate.engines.protocol import Delta, Finish, Prompt, Sampling

Result = TypeVar("Result")


class TrainableEngine(Protocol):
    """An engine that can go on with other weights."""

    def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]: ...

    async def load_weights(self, weights: Mapping[str, Tensor]) -> None: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Completion:
    """One sample."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list[int])
    """With the token that ended it."""
    logprobs: list[float] = field(default_factory=list[float])
    """Of each token under the model itself, in nats, as the engine computed them."""
    finish: Finish | None = None

    @property
    def finished(self) -> bool:
        """It ended by itself, and was not cut by length."""
        return self.finish is not None and self.finish.reason == "stop"

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.finish = delta.finish or self.finish


class Sampler:
    """An engine for callers without an event loop. Use it in a `with` block, or `close` it; that closes the engine."""

    def __init__(self, engine: TrainableEngine) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sampler", daemon=True)
        self._thread.start()

    def sample(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """`n` completions of each prompt, all at once. Sample i of a prompt draws with the prompt's seed + i.

        Raises SearchFailed where a sample failed, and what the engine raises.
        """
        return self._wait(self._groups(prompts, n, sampling, seeds))

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Sample from these weights from now on."""
        self._wait(self._engine.load_weights(weights))

    def close(self) -> None:
        """End the engine."""
        self._wait(self._engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _groups(
        self, prompts: Sequence[Sequence[int]], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        seeded = [sampling.model_copy(update={"seed": seed}) for seed in seeds]
        return await asyncio.gather(*(self._group(p, n, s) for p, s in zip(prompts, seeded, strict=True)))

    async def _group(self, prompt: Sequence[int], n: int, sampling: Sampling) -> list[Completion]:
        completions = [Completion() for _ in range(n)]
        async for delta in self._engine.generate(Prompt(tuple(prompt)), sampling, n):
            completions[delta.index].add(delta)
        for completion in completions:
            if completion.finish is None or completion.finish.reason == "error":
                raise SearchFailed(f"A sample failed: {completion.finish and completion.finish.detail}")
        return completions
