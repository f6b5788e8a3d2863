"""Work that lives only as long as its client and its deadline."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from deliberate.server.errors import DeadlineExceeded

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away (ClientDisconnect). The body must be read."""
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_until_disconnect(receive))
            result = await work
            watcher.cancel()
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    return result


async def ended_within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or DeadlineExceeded when it takes longer than `seconds`."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await work
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise _too_late(seconds) from error


async def within(seconds: float, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The events, or DeadlineExceeded when they take longer than `seconds` altogether."""
    deadline = asyncio.get_running_loop().time() + seconds
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise _too_late(seconds) from error
            yield event


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def _too_late(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"The answer took longer than the {seconds:g} s that this server allows.")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
