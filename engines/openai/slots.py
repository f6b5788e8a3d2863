"""A semaphore that counts samples: a search of width n takes n slots at once."""

import asyncio
from collections import deque


class Slots:
    """First come, first served. For one event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> int:
        """Wait for `count` slots, or all there are; returns how many were taken."""
        count = min(count, self._size)
        if not self._queue and count <= self._free:
            self._free -= count
            return count
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._forget((count, turn))
            raise
        return count

    def give(self, count: int) -> None:
        """Give slots back."""
        self._free += count
        while self._queue and self._queue[0][0] <= self._free:
            wanted, turn = self._queue.popleft()
            if not turn.cancelled():
                self._free -= wanted
                turn.set_result(None)

    def _forget(self, place: tuple[int, asyncio.Future[None]]) -> None:
        """Of a waiter that was cancelled, before or after its turn came."""
        count, turn = place
        if not turn.cancelled():
            self.give(count)
        elif place in self._queue:
            self._queue.remove(place)
            self.give(0)
