"""A deterministic engine that says what it is told, for tests of this project and of its users.

Its tokens are UTF-8 bytes, so every character outside ASCII spans tokens; id 256 ends a sequence.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.errors import EngineStopped
from deliberate.engines.protocol import (
    Capabilities,
    Conversation,
    Delta,
    EngineStats,
    Finish,
    Message,
    Prompt,
    Sampling,
)
from deliberate.engines.stopping import StopStrings

END_OF_SEQUENCE = 256


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted sample."""

    text: str
    finish: Literal["stop", "length", "error"] = "stop"
    """How it ends if nothing else ends it first; `error` fails after the text."""
    logprob: float = -0.1
    """Of each of its tokens, in nats."""
    seconds_per_token: float = 0.0
    """Time between tokens."""


@dataclass(frozen=True, slots=True)
class Call:
    """What `generate` was asked."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    n: int
    conversation: Conversation | None = None


class ByteTokenizer:
    """One token per UTF-8 byte."""

    fingerprint = "bytes"
    beginning_of_sequence: tuple[int, ...] = ()

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(i for i in token_ids if i < END_OF_SEQUENCE).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < END_OF_SEQUENCE else b""

    def apply_chat_template(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        lines = [f"{message['role']}: {message.get('content') or ''}\n" for message in messages]
        return self.encode("".join(lines) + ("assistant: " if add_generation_prompt else ""))


Script = Callable[[str, int], Reply]
"""From the prompt's text and the number of samples started before, to the next sample."""


class ScriptedEngine:
    """Samples are the script's replies, in the order in which samples start.

    A list of replies is repeated for ever. `calls` records every call of `generate`.
    """

    def __init__(
        self,
        script: Script | Sequence[Reply | str],
        *,
        context_length: int = 4096,
        token_logprob: Callable[[Sequence[int], int], float] = lambda sequence, position: -0.1,
        sampling_defaults: Mapping[str, float] | None = None,
        token_ids: bool = True,
        structured_output: bool = False,
        tools: bool = False,
    ) -> None:
        """`token_logprob(sequence, position)` is the log-probability of the token at that position.

        Without `token_ids` it reads conversations and shows no tokens, as engines behind a chat API do. Forms and
        tools are taken where it is told so, and left to the script.
        """
        self._script = script if callable(script) else _repeat(script)
        self._token_logprob = token_logprob
        self.capabilities = Capabilities(
            context_length,
            vocabulary_size=257 if token_ids else None,
            token_ids=token_ids,
            scores=token_ids,
            structured_output=structured_output,
            tools=tools,
        )
        self.tokenizer = ByteTokenizer()
        self.stats = EngineStats()
        self.failure: BaseException | None = None
        self.sampling_defaults = sampling_defaults or {}
        self.calls: list[Call] = []
        self._started = 0

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        ids = self._prompt_ids(prompt)
        limit = room_for(self.capabilities, ids, sampling)
        self.calls.append(Call(prompt.token_ids, sampling, n, prompt.conversation))
        text = self.tokenizer.decode(ids)
        running = {i: _Speaker(i, self._next_reply(text), sampling, limit) for i in range(n)}
        self._count(running=n, prefill_tokens_total=len(ids))
        try:
            while running:
                for index, speaker in list(running.items()):
                    await asyncio.sleep(speaker.reply.seconds_per_token)
                    self._require_alive()
                    delta = speaker.next_delta()
                    self._count(generated_tokens_total=len(delta.token_ids))
                    if delta.finish is not None:
                        del running[index]
                        self._count(running=-1)
                    yield delta if self.capabilities.token_ids else _hidden(delta, len(ids))
        finally:
            self._count(running=-len(running))

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        self._require_alive()
        check_starts(self.capabilities, sequences, starts)
        return [
            tuple(self._token_logprob(sequence, position) for position in range(start, len(sequence)))
            for sequence, start in zip(sequences, starts, strict=True)
        ]

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        self._require_alive()
        check_positions(self.capabilities, sequences, positions)
        return [
            tuple(tuple(self._next_logprob(sequence[: at + 1], token) for token in tokens) for at in asked)
            for sequence, asked in zip(sequences, positions, strict=True)
        ]

    def _next_logprob(self, prefix: Sequence[int], token: int) -> float:
        return self._token_logprob([*prefix, token], len(prefix))

    def fail(self, cause: BaseException) -> None:
        """Die as an engine does whose device failed."""
        self.failure = cause

    def _require_alive(self) -> None:
        if self.failure is not None:
            raise EngineStopped(f"The scripted engine stopped: {self.failure}") from self.failure

    async def close(self) -> None:
        self.failure = self.failure or EngineStopped("closed")

    def _prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        if self.capabilities.token_ids or prompt.conversation is None:
            return prompt.token_ids
        return tuple(self.tokenizer.apply_chat_template(prompt.conversation.messages))

    def _next_reply(self, prompt: str) -> Reply:
        reply = self._script(prompt, self._started)
        self._started += 1
        return reply

    def _count(self, **changes: int) -> None:
        self.stats = replace(self.stats, **{name: getattr(self.stats, name) + by for name, by in changes.items()})


class _Speaker:
    """One sample on its way: its reply's bytes, one by one, through the limits of its sampling."""

    def __init__(self, index: int, reply: Reply, sampling: Sampling, limit: int) -> None:
        end = [END_OF_SEQUENCE] if reply.finish == "stop" else []
        self.reply = reply
        self._index = index
        self._tokens = iter([*reply.text.encode(), *end])
        self._limit = limit
        self._spoken = 0
        self._stop_ids = sampling.stop_token_ids
        self._alternatives = sampling.top_logprobs
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(sampling.stop)

    def next_delta(self) -> Delta:
        token = next(self._tokens, None)
        if token is None:
            detail = "scripted failure" if self.reply.finish == "error" else ""
            return Delta(self._index, self._rest(), finish=Finish(self.reply.finish, detail=detail))
        self._spoken += 1
        if token == END_OF_SEQUENCE:
            return self._delta(token, self._rest(), Finish("stop"))
        if token in self._stop_ids:
            return self._delta(token, self._rest(), Finish("stop", token))
        text, stop = self._stops.push(self._characters.decode(bytes([token])))
        if stop is not None:
            return self._delta(token, text, Finish("stop", stop))
        if self._spoken == self._limit:
            return self._delta(token, text + self._rest(), Finish("length"))
        return self._delta(token, text, None)

    def _rest(self) -> str:
        text, stop = self._stops.push(self._characters.decode(b"", final=True))
        return text if stop is not None else text + self._stops.flush()

    def _delta(self, token: int, text: str, finish: Finish | None) -> Delta:
        top = (((token, self.reply.logprob),) if self._alternatives else (),)
        return Delta(self._index, text, (token,), (self.reply.logprob,), top, finish)


def _hidden(delta: Delta, prompt_tokens: int) -> Delta:
    """As it comes from behind a chat API."""
    finish = delta.finish and replace(delta.finish, prompt_tokens=prompt_tokens)
    return Delta(delta.index, delta.text, finish=finish, unseen_tokens=len(delta.token_ids))


def _repeat(replies: Sequence[Reply | str]) -> Script:
    ready = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
    return lambda prompt, number: ready[number % len(ready)]
