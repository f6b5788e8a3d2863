"""The chunks of a streamed answer: read from the search's events as they come."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from deliberate.engines.errors import SearchFailed
from deliberate.search.events import Chosen, Event, Failed, Sampled, Streamed
from deliberate.server.answers import finish_reason, read_answer, report, usage
from deliberate.server.chat import Chat
from deliberate.server.errors import began_anew
from deliberate.server.live import LiveChoice, Shown
from deliberate.server.progress import Progress
from deliberate.server.replies import (
    ChatCompletionChunk,
    ChunkChoice,
    ChunkDelta,
    FinishReason,
    ToolCallDelta,
)
from deliberate.server.step_progress import StepProgress
from deliberate.server.tool_calls import reply_calls
from deliberate.server.tracing import traced

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
    async with aclosing(traced(chat)) as events:
        async for event in events:
            for chunk in writer.on(event):
                yield chunk
    for chunk in writer.end():
        yield chunk


class _Writer:
    """Builds chunks. A finish chunk waits until it is known whether it is the last, which carries the report."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._fingerprint = chat.fingerprint
        config = chat.deliberation.verifier_config
        kind = None if config is None else config.kind
        progress = StepProgress if chat.strategy.continues else Progress
        self._progress = progress(chat.log, chat.slots, kind, chat.server.settings.progress_seconds)
        self._live: dict[int, LiveChoice] = {}
        self._called: dict[int, int] = {}
        """Index of each choice's last call."""
        self._waiting: ChatCompletionChunk | None = None

    def begin(self) -> Iterator[ChatCompletionChunk]:
        for index in range(self._chat.choices if self._chat.plain else 1):
            yield self._role(index)

    def on(self, event: Event) -> Iterator[ChatCompletionChunk]:
        if not self._chat.plain:
            for line in self._progress.lines(event):
                yield from self._parts(0, Shown(reasoning=line))
        match event:
            case Streamed(index, delta) if self._chat.plain:
                yield from self._parts(index, self._live_choice(index, delta.restart).add(delta))
            case Sampled(index, sample) if index in self._live:
                yield from self._parts(index, self._live[index].flush())
                yield from self._finish(index, finish_reason(sample.finish, self._live[index].called))
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

    def _live_choice(self, index: int, restarts: bool) -> LiveChoice:
        """Raises UpstreamFailed for a choice that begins anew after some of it was shown."""
        if restarts and index in self._live and self._live[index].begun:
            raise began_anew(index)
        if restarts or index not in self._live:
            self._live[index] = LiveChoice(self._chat)
        return self._live[index]

    def _answers(self, chosen: Chosen) -> Iterator[ChatCompletionChunk]:
        for index, choice in enumerate(chosen.choices):
            answer = read_answer(self._chat, self._chat.log.sample(choice.index))
            if index > 0:
                yield self._role(index)
            for piece in _pieces(answer.reasoning):
                yield from self._parts(index, Shown(reasoning=piece))
            logprobs = answer.logprobs
            for piece in _pieces(answer.content):
                yield from self._parts(index, Shown(content=piece, logprobs=logprobs))
                logprobs = None
            yield from self._parts(index, Shown(calls=answer.tool_calls))
            yield from self._finish(index, answer.finish_reason)

    def _role(self, index: int) -> ChatCompletionChunk:
        return self._chunk(ChunkChoice(index=index, delta=ChunkDelta(role="assistant", content="")))

    def _parts(self, index: int, shown: Shown) -> Iterator[ChatCompletionChunk]:
        if shown.reasoning:
            delta = ChunkDelta(reasoning_content=shown.reasoning, reasoning=shown.reasoning)
            yield from self._show(self._chunk(ChunkChoice(index=index, delta=delta)))
        if shown.content:
            delta = ChunkDelta(content=shown.content)
            yield from self._show(self._chunk(ChunkChoice(index=index, delta=delta, logprobs=shown.logprobs)))
        for call in reply_calls(shown.calls):
            number = self._called[index] = self._called.get(index, -1) + 1
            delta = ChunkDelta(tool_calls=[ToolCallDelta(index=number, id=call.id, function=call.function)])
            yield from self._show(self._chunk(ChunkChoice(index=index, delta=delta)))

    def _finish(self, index: int, reason: FinishReason) -> Iterator[ChatCompletionChunk]:
        chunk = self._chunk(ChunkChoice(index=index, delta=ChunkDelta(), finish_reason=reason))
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
