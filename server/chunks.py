"""The chunks of a streamed answer: read from the search's events as they come."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from deliberate.engines.errors import SearchFailed
from deliberate.engines.protocol import Delta
from deliberate.search.events import Chosen, Event, Failed, Sampled, Streamed
from deliberate.server.answers import read_answer, report, usage
from deliberate.server.chat import Chat
from deliberate.server.logprobs import ContentTokens
from deliberate.server.progress import Progress
from deliberate.server.reasoning import ReasoningSplitter, Split
from deliberate.server.replies import ChatCompletionChunk, ChunkChoice, ChunkDelta, Logprobs

PIECE = 64
"""Characters per chunk of an answer that is already complete."""


async def stream(chat: Chat) -> AsyncGenerator[str, None]:
    """The chunks as they are sent."""
    options = chat.request.stream_options
    with_usage = options is not None and options.include_usage
    async with aclosing(chunks(chat)) as parts:
        async for chunk in parts:
            yield chunk.data(with_usage)


async def chunks(chat: Chat) -> AsyncGenerator[ChatCompletionChunk, None]:
    """Run the search. Without one its tokens stream live; else progress streams as reasoning, then the answer."""
    writer = _Writer(chat)
    for chunk in writer.begin():
        yield chunk
    async with aclosing(chat.events()) as events:
        async for event in events:
            for chunk in writer.on(event):
                yield chunk
    for chunk in writer.end():
        yield chunk


class _LiveChoice:
    """A choice whose tokens are shown as they come."""

    def __init__(self, chat: Chat) -> None:
        self.splitter = ReasoningSplitter(chat.thinks_from_start())
        self._tokens = ContentTokens(chat.model.engine.tokenizer) if chat.request.logprobs else None

    def add(self, delta: Delta) -> tuple[Split, Logprobs | None]:
        """What the delta lets be shown."""
        if self._tokens is not None:
            self._tokens.add(delta.token_ids, delta.logprobs, delta.top_logprobs)
        return self._with_logprobs(self.splitter.push(delta.text))

    def flush(self) -> tuple[Split, Logprobs | None]:
        """What was held back."""
        return self._with_logprobs(self.splitter.flush())

    def _with_logprobs(self, split: Split) -> tuple[Split, Logprobs | None]:
        if self._tokens is None or not split.content:
            return split, None
        return split, self._tokens.take(self.splitter.content_start, self.splitter.consumed)


class _Writer:
    """Builds chunks. A finish chunk waits until it is known whether it is the last, which carries the report."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._fingerprint = chat.fingerprint
        config = chat.deliberation.verifier_config
        kind = None if config is None else config.kind
        self._progress = Progress(chat.log, chat.width, kind, chat.server.settings.progress_seconds)
        self._live: dict[int, _LiveChoice] = {}
        self._waiting: ChatCompletionChunk | None = None

    def begin(self) -> Iterator[ChatCompletionChunk]:
        for index in range(self._chat.choices if self._chat.plain else 1):
            yield self._role(index)

    def on(self, event: Event) -> Iterator[ChatCompletionChunk]:
        if not self._chat.plain:
            for line in self._progress.lines(event):
                yield from self._split(0, Split(reasoning=line))
        match event:
            case Streamed(index, delta) if self._chat.plain:
                live = self._live.setdefault(index, _LiveChoice(self._chat))
                yield from self._split(index, *live.add(delta))
            case Sampled(index, sample) if index in self._live:
                yield from self._split(index, *self._live[index].flush())
                yield from self._finish(index, sample.finish.reason)
            case Failed(index, _, detail) if index in self._live and self._chat.choices > 1:
                raise SearchFailed(f"Choice {index} failed: {detail}")
            case Chosen() if not self._chat.plain:
                yield from self._answers(event)
            case _:
                pass

    def end(self) -> Iterator[ChatCompletionChunk]:
        """The last chunks: the held finish, then the usage where it was asked for."""
        assert self._waiting is not None, "every search ends with a choice"
        deliberation = report(self._chat)
        options = self._chat.request.stream_options
        if options is None or not options.include_usage:
            yield self._waiting.model_copy(update={"deliberation": deliberation})
            return
        yield self._waiting
        yield self._chunk().model_copy(update={"usage": usage(self._chat), "deliberation": deliberation})

    def _answers(self, chosen: Chosen) -> Iterator[ChatCompletionChunk]:
        for index, choice in enumerate(chosen.choices):
            answer = read_answer(self._chat, self._chat.log.sample(choice.index))
            if index > 0:
                yield self._role(index)
            for piece in _pieces(answer.reasoning):
                yield from self._split(index, Split(reasoning=piece))
            logprobs = answer.logprobs
            for piece in _pieces(answer.content):
                yield from self._split(index, Split(content=piece), logprobs)
                logprobs = None
            yield from self._finish(index, answer.finish_reason)

    def _role(self, index: int) -> ChatCompletionChunk:
        return self._chunk(ChunkChoice(index=index, delta=ChunkDelta(role="assistant", content="")))

    def _split(self, index: int, split: Split, logprobs: Logprobs | None = None) -> Iterator[ChatCompletionChunk]:
        if split.reasoning:
            delta = ChunkDelta(reasoning_content=split.reasoning, reasoning=split.reasoning)
            yield from self._show(self._chunk(ChunkChoice(index=index, delta=delta)))
        if split.content:
            delta = ChunkDelta(content=split.content)
            yield from self._show(self._chunk(ChunkChoice(index=index, delta=delta, logprobs=logprobs)))

    def _finish(self, index: int, reason: str) -> Iterator[ChatCompletionChunk]:
        choice = ChunkChoice(index=index, delta=ChunkDelta(), finish_reason="length" if reason == "length" else "stop")
        chunk = self._chunk(choice)
        if self._waiting is not None:
            yield self._waiting
        self._waiting = chunk

    def _show(self, chunk: ChatCompletionChunk) -> Iterator[ChatCompletionChunk]:
        if self._waiting is not None:
            yield self._waiting
            self._waiting = None
        yield chunk

    def _chunk(self, *choices: ChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._chat.id,
            created=self._chat.created,
            model=self._chat.request.model,
            system_fingerprint=self._fingerprint,
            choices=list(choices),
        )


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))
