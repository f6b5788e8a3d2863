"""The engine's units of work: a call, its sequences, and the prefills that start them."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch

from deliberate.engines.huggingface import TokenText
from deliberate.engines.protocol import Delta, Finish, Sampling
from deliberate.engines.stopping import StopStrings
from deliberate.engines.transformers.sampler import Row


class Call:
    """One call of `generate` or `score`: where its results go. Compared by identity."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._results: asyncio.Queue[object] = asyncio.Queue()

    async def result(self) -> object:
        """The next thing delivered; for the caller."""
        return await self._results.get()

    @staticmethod
    def deliver(results: Iterable[tuple["Call", object]]) -> None:
        """Hand results to their callers; from the engine's thread. Each event loop is woken once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Call, object]]] = {}
        for call, result in results:
            by_loop.setdefault(call._loop, []).append((call, result))
        for loop, batch in by_loop.items():
            # A loop that was closed under its callers has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(Call._put, batch)

    @staticmethod
    def _put(batch: list[tuple["Call", object]]) -> None:
        for call, result in batch:
            call._results.put_nowait(result)


class Running:
    """A sequence that is being generated."""

    def __init__(
        self, call: Call, index: int, prompt: Sequence[int], sampling: Sampling, limit: int, text: TokenText
    ) -> None:
        self.call = call
        self.index = index
        self.tokens = list(prompt)
        """Prompt and new tokens."""
        self.finish: Finish | None = None
        self._remaining = limit
        self._sampling = sampling
        self._random = Random(sampling.seed + index)
        self._text = text
        self._stops = StopStrings(sampling.stop)
        penalised = sampling.frequency_penalty or sampling.presence_penalty
        self._counts: Counter[int] | None = Counter() if penalised else None
        self._unsent = _Unsent()

    def next_row(self) -> Row:
        """What the next token's draw depends on. The n-th draw of a sequence always gets the n-th number."""
        return Row(self._sampling, self._random.random(), self._counts)

    def push(self, token: int, logprob: float, top: tuple[tuple[int, float], ...], end: frozenset[int]) -> None:
        """Take a drawn token and see whether it ends the sequence; `end` holds the model's own end tokens."""
        if token < 0:
            self.finish = Finish("error", detail="the model's logits were not numbers")
            return
        self.tokens.append(token)
        self._remaining -= 1
        self._unsent.add(token, logprob, top)
        if self._counts is not None:
            self._counts[token] += 1
        self._unsent.text += self._speak(token, end)

    def _speak(self, token: int, end: frozenset[int]) -> str:
        if token in end or token in self._sampling.stop_token_ids:
            self.finish = Finish("stop", None if token in end else token)
            return self._rest()
        text, stop = self._stops.push(self._text.push(token))
        if stop is not None:
            self.finish = Finish("stop", stop)
            return text
        if self._remaining == 0:
            self.finish = Finish("length")
            return text + self._rest()
        return text

    def _rest(self) -> str:
        text, stop = self._stops.push(self._text.flush())
        return text if stop is not None else text + self._stops.flush()

    def take_delta(self) -> Delta:
        """Everything not yet sent."""
        unsent, self._unsent = self._unsent, _Unsent()
        return Delta(
            self.index,
            unsent.text,
            tuple(unsent.token_ids),
            tuple(unsent.logprobs),
            tuple(unsent.top_logprobs),
            self.finish,
        )


@dataclass(slots=True)
class _Unsent:
    text: str = ""
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[tuple[tuple[int, float], ...]] = field(default_factory=list[tuple[tuple[int, float], ...]])

    def add(self, token: int, logprob: float, top: tuple[tuple[int, float], ...]) -> None:
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.top_logprobs.append(top)


class Reading(ABC):
    """What is wanted of tokens that are only read."""

    def __init__(self, index: int, positions: Sequence[int]) -> None:
        self.index = index
        """Which of its call's sequences this is."""
        self.positions = positions
        """Ascending, at least one: the model's outputs after these tokens are wanted."""
        self.values: list[Any] = []
        """One for each position, in order."""

    @abstractmethod
    def take(self, positions: Sequence[int], outputs: torch.Tensor) -> None:
        """Turn outputs [positions, outputs], float32, into values."""


class FollowingLogprobs(Reading):
    """The log-probability of the token that follows each position."""

    def __init__(self, index: int, tokens: Sequence[int], start: int) -> None:
        super().__init__(index, range(start - 1, len(tokens) - 1))
        self._tokens = tokens

    def take(self, positions: Sequence[int], outputs: torch.Tensor) -> None:
        following = torch.tensor([self._tokens[t + 1] for t in positions], device=outputs.device)
        self.values += outputs.log_softmax(-1).gather(1, following.unsqueeze(1)).squeeze(1).tolist()


class NextLogprobs(Reading):
    """The log-probabilities of given tokens, were they next."""

    def __init__(self, index: int, positions: Sequence[int], tokens: Sequence[int]) -> None:
        super().__init__(index, positions)
        self._tokens = list(tokens)

    def take(self, positions: Sequence[int], outputs: torch.Tensor) -> None:
        self.values += map(tuple, outputs.log_softmax(-1)[:, self._tokens].tolist())


@dataclass(slots=True, eq=False)
class Prefill:
    """Tokens that must pass through the model before sequences can run, or that are only read."""

    call: Call
    tokens: Sequence[int]
    sequences: list[Running] = field(default_factory=list[Running])
    """Those that start from these tokens, sharing the one pass; none when the tokens are only read."""
    reading: Reading | None = None
    """What is wanted of tokens that are only read."""
    computed: int = 0
    """Tokens whose keys and values lie in its row."""

    @property
    def cacheable(self) -> int:
        """Tokens that may come from the prefix cache: those before the first whose output is wanted."""
        return len(self.tokens) - 1 if self.reading is None else self.reading.positions[0]

    def wanted(self, start: int, end: int) -> Sequence[int]:
        """Positions in [start, end) whose outputs are needed."""
        if self.reading is None:
            return range(max(start, len(self.tokens) - 1), end)
        return [t for t in self.reading.positions if start <= t < end]
