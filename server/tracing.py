"""Keeping the trace of a chat's search, however it ends."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing

from deliberate.engines.errors import DeliberateError
from deliberate.search.events import Event
from deliberate.search.trace import without_evidence
from deliberate.server.chat import Chat
from deliberate.server.replies import DeliberationTrace
from deliberate.server.traces import Trace

_STOPPED = "The search was stopped before its end: its client went away, or what it had to say could not be sent."


async def traced(chat: Chat) -> AsyncGenerator[Event, None]:
    """The search's events. Its trace is kept once they end, whether in an answer, in an error or half-way."""
    with ExitStack() as stack:
        stack.push(lambda kind, error, traceback: chat.server.traces.keep(trace_of(chat, error)))
        async with aclosing(chat.events()) as events:
            async for event in events:
                yield event


def trace_of(chat: Chat, error: BaseException | None = None) -> Trace:
    """What is kept of a search that ended, with the error that ended it."""
    config = chat.deliberation.verifier_config
    head = DeliberationTrace(
        id=chat.deliberation_id,
        created=chat.created,
        model=chat.model.name,
        strategy=chat.strategy.describe(),
        verifier=None if config is None else config.describe(),
        prompt=[transform.describe() for transform in chat.deliberation.transforms],
        seed=chat.seed,
        prompt_tokens=chat.prompt_tokens,
        seconds=round(chat.meter.seconds, 4),
        error=_told(error),
        events=[],
    )
    events = tuple(map(without_evidence, chat.log.events))
    return Trace(head, events, tuple(chat.log.seconds), chat.caller)


def _told(error: BaseException | None) -> str | None:
    match error:
        case None:
            return None
        case BaseExceptionGroup(exceptions=[only]):
            return _told(only)
        case DeliberateError():
            return str(error)
        case Exception():
            return "The server made a mistake; its log tells more."
        case _:
            return _STOPPED
