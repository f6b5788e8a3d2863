"""Asks a judge: for whole replies, or for what it would say next."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Engine, Prompt, Sample, SampleBuilder, Sampling, Tokenizer
from deliberate.verifiers.chains import NO_SCORES
from deliberate.verifiers.judging.options import JudgeOptions

NO_REPLY = (*NO_SCORES, InvalidRequest)
"""What a judge raises when it does not reply. An upstream may refuse what a candidate says (InvalidRequest)."""

_STREAM_INTERVAL = 32
_ALTERNATIVES = 20
"""Of the next token: as many as chat APIs tell."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What a judge said to one question."""

    asked: int
    """Replies that were wanted."""
    texts: tuple[str, ...] = ()
    """Of those that ended by themselves; the others may end in the middle of a quotation."""
    tokens: int = 0
    """New tokens of all."""
    failure: str = ""
    """Why some are missing, where the engine says so."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A model that judges, and how it is asked."""

    engine: Engine
    options: JudgeOptions

    async def replies(self, question: str) -> Replies:
        """As many replies as the options say."""
        options = self.options
        sampling = Sampling(
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            seed=options.seed,
            stream_interval=_STREAM_INTERVAL,
        )
        try:
            samples = await self._draw(question, sampling, options.samples)
        except NO_REPLY as error:
            return Replies(options.samples, failure=str(error))
        texts = tuple(sample.text for sample in samples if sample.finish.reason == "stop")
        failures = (sample.finish.detail for sample in samples if sample.finish.reason == "error")
        return Replies(options.samples, texts, sum(sample.tokens for sample in samples), next(failures, ""))

    async def next_logprobs(self, question: str, one: str, other: str) -> tuple[float, float] | None:
        """Log-probabilities, in nats, of the next token being the one with which each word begins.

        From the engine's scores, or from the likeliest tokens that a chat API tells, if these words are most of what
        comes next: one that is not told counts as impossible. None otherwise. Raises what NO_REPLY lists.
        """
        if self.engine.capabilities.scores:
            return await self._scored(question, one, other)
        try:
            (sample,) = await self._draw(question, Sampling(max_tokens=1, top_logprobs=_ALTERNATIVES), 1)
        except InvalidRequest:  # Models that tell no log-probabilities may refuse to be asked.
            return None
        told = next(iter(sample.top_texts), ())
        first, second = (_probability(told, word) for word in (one, other))
        return (_log(first), _log(second)) if first + second > 0.5 else None

    async def _scored(self, question: str, one: str, other: str) -> tuple[float, float]:
        prompt = await self._prompt(question)
        common, tokens = await asyncio.to_thread(_fork, self.engine.tokenizer, one, other)
        sequence = (*prompt.token_ids, *common)
        (((first, second),),) = await self.engine.next_logprobs([sequence], [[len(sequence) - 1]], tokens)
        return first, second

    async def _draw(self, question: str, sampling: Sampling, count: int) -> list[Sample]:
        """The samples, in order."""
        prompt = await self._prompt(question)
        builders = [SampleBuilder() for _ in range(count)]
        samples = dict[int, Sample]()
        async with aclosing(self.engine.generate(prompt, sampling, count)) as deltas:
            async for delta in deltas:
                if (sample := builders[delta.index].add(delta)) is not None:
                    samples[delta.index] = sample
        return [samples[index] for index in range(count)]

    async def _prompt(self, question: str) -> Prompt:
        conversation = Conversation(({"role": "user", "content": question},))
        if not self.engine.capabilities.token_ids:
            return Prompt((), conversation)
        ids = await asyncio.to_thread(self.engine.tokenizer.apply_chat_template, conversation.messages)
        return Prompt(tuple(ids), conversation)


def _fork(tokenizer: Tokenizer, one: str, other: str) -> tuple[list[int], tuple[int, int]]:
    """The tokens that both words begin with (some tokenizers begin with a blank), and the two that follow."""
    first, second = tokenizer.encode(one), tokenizer.encode(other)
    at = next(place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return first[:at], (first[at], second[at])


def _probability(alternatives: Sequence[tuple[str, float]], word: str) -> float:
    """Of the word in all its spellings."""
    return math.fsum(math.exp(logprob) for text, logprob in alternatives if text.strip().lower() == word.lower())


def _log(probability: float) -> float:
    return math.log(probability) if probability else -math.inf
