"""Work that several callers want at the same time, or soon after each other, is done once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """Results by key: those under way, and the last ones. Of one event loop."""

    def __init__(self, kept: int) -> None:
        """Keep so many results; errors are not kept."""
        self._kept = kept
        self._tasks: OrderedDict[K, asyncio.Task[V]] = OrderedDict()
        self._waiting: dict[K, int] = {}

    async def get(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result for the key. The work is stopped when nobody waits for it any more. Raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
        self._tasks.move_to_end(key)
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                self._settle(key, task)

    def _settle(self, key: K, task: asyncio.Task[V]) -> None:
        del self._waiting[key]
        task.cancel()
        if not task.done() or task.cancelled() or task.exception() is not None:
            del self._tasks[key]
        for old in [key for key in self._tasks if key not in self._waiting][: -self._kept]:
            del self._tasks[old]
