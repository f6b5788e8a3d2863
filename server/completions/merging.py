"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """The items of all streams as they come, each with its stream's number.

    The first error ends it. Closing it closes all streams.
    """
    items: asyncio.Queue[tuple[int, T] | asyncio.Task[None]] = asyncio.Queue()

    async def pour(number: int, stream: AsyncGenerator[T, None]) -> None:
        async with aclosing(stream):
            async for item in stream:
                items.put_nowait((number, item))

    # A TaskGroup would answer the GeneratorExit of a closing with an error of its own.
    tasks = [asyncio.create_task(pour(number, stream)) for number, stream in enumerate(streams)]
    try:
        for task in tasks:
            task.add_done_callback(items.put_nowait)
        running = len(tasks)
        while running:
            item = await items.get()
            if isinstance(item, asyncio.Task):
                item.result()
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
