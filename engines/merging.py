"""Several asynchronous things as one."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Items of all streams as they come; the first error ends them all, and so does closing this."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as stream:
            async for item in stream:
                yield item
        return
    queue: asyncio.Queue[T | asyncio.Task[None]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(stream, queue)) for stream in streams]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    unfinished = len(tasks)
    try:
        while unfinished:
            item = await queue.get()
            if isinstance(item, asyncio.Task):
                unfinished -= 1
                item.result()
            else:
                yield item
    finally:
        await _cancel(tasks)


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Their results; the first error cancels the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _cancel(tasks)


async def _pump(stream: AsyncGenerator[T, None], queue: "asyncio.Queue[T | asyncio.Task[None]]") -> None:
    async with aclosing(stream) as items:
        async for item in items:
            queue.put_nowait(item)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
