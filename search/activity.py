"""What runs for one search, and what it tells, in the order in which it was told."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

from deliberate.search.events import Event
from deliberate.search.nodes import Node

Told: TypeAlias = tuple[Event, Node | None]
"""An event, with the chain that it is about where nobody knows that yet."""


class Activity:
    """Tasks that each work on a chain, or on several."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Told | asyncio.Task[None]] = asyncio.Queue()
        """Tasks are told of when they have ended."""
        self._running: dict[asyncio.Task[None], Node | None] = {}
        """By the chain that they work on; None for several."""

    @property
    def over(self) -> bool:
        """Nothing runs any more, and all was heard."""
        return not self._running and self._told.empty()

    def tell(self, event: Event, node: Node | None = None) -> None:
        self._told.put_nowait((event, node))

    def start(
        self,
        work: Coroutine[Any, Any, None],
        node: Node | None,
        last_words: "Callable[[asyncio.Task[None]], None]" = lambda task: None,
    ) -> None:
        """Run it beside the rest. `last_words` are told when it has ended, however it did."""
        task = asyncio.create_task(work)
        self._running[task] = node
        task.add_done_callback(last_words)
        task.add_done_callback(self._told.put_nowait)

    async def next(self) -> Told | None:
        """What was told; None for a task that ended. Raises what that raised."""
        item = await self._told.get()
        if not isinstance(item, asyncio.Task):
            return item
        self._running.pop(item, None)
        if not item.cancelled():
            item.result()
        return None

    def rest(self) -> Iterator[Told]:
        """What was told and not heard yet."""
        while not self._told.empty():
            item = self._told.get_nowait()
            if not isinstance(item, asyncio.Task):
                yield item

    def cancel_after(self, node: Node) -> None:
        """Stop what works on a chain, or on one that grew from it."""
        for task, grown in self._running.items():
            if grown is not None and grown.follows(node):
                task.cancel()

    async def cancel_all(self) -> None:
        """Returns when nothing runs any more."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
