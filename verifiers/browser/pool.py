"""The browsers of a server: started on first use, kept warm, ended with it."""

import asyncio
import threading
from functools import partial
from pathlib import Path

from deliberate.verifiers.background import BackgroundLoop
from deliberate.verifiers.browser.errors import BrowserGone, BrowserMissing
from deliberate.verifiers.browser.modules import Library
from deliberate.verifiers.browser.rendering import Rendering
from deliberate.verifiers.browser.sharing import Shared
from deliberate.verifiers.browser.slot import Order, Slot

KEPT = 32
"""Renderings: several scorers of one request see the same one."""
TRIES = 2


class BrowserPool:
    """Visits pages, as many at once as there are browsers; more wait.

    All of it happens in a thread with an event loop of its own, so that any loop may ask, and pages that flood their
    browser with messages hold up nobody else.
    """

    def __init__(self, browsers: int = 2, *, contained: bool = True, node_modules: Path | None = None) -> None:
        """`node_modules` is where three.js is looked for first.

        Without containment pages of strangers run with this process's rights: for machines with nothing else.
        """
        self._node_modules = node_modules
        self._make = partial(_Running, browsers, contained=contained, node_modules=node_modules)
        self._starting = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    async def render(self, order: Order) -> Rendering:
        """What there is to see. Raises BrowserMissing and Busy, when nothing can be said of the page."""
        running = await asyncio.to_thread(self._started)
        return await running.loop.wait(running.render(order))

    def library(self) -> Library | None:
        """The three.js that pages get."""
        return Library.find(self._node_modules)

    def close(self) -> None:
        """End all browsers."""
        with self._starting:
            self._closed = True
            if self._running is not None:
                self._running.close()
                self._running = None

    def _started(self) -> "_Running":
        with self._starting:
            if self._closed:
                raise BrowserMissing("the browsers are stopped")
            if self._running is None:
                self._running = self._make()
            return self._running


class _Running:
    """The thread, its loop and the browsers in it."""

    def __init__(self, browsers: int, *, contained: bool, node_modules: Path | None) -> None:
        self.loop = BackgroundLoop("browsers")
        self._slots = [Slot(number, contained=contained, node_modules=node_modules) for number in range(browsers)]
        self._free: asyncio.LifoQueue[Slot] = asyncio.LifoQueue()  # The warmest first.
        for slot in self._slots:
            self._free.put_nowait(slot)
        self._shared = Shared[Order, Rendering](KEPT)

    async def render(self, order: Order) -> Rendering:
        return await self._shared.get(order, lambda: self._visit(order))

    def close(self) -> None:
        self.loop.run(self._end())
        self.loop.close()

    async def _visit(self, order: Order) -> Rendering:
        slot = await self._free.get()
        try:
            for _ in range(TRIES):
                try:
                    return await slot.render(order)
                except BrowserGone:
                    continue
            raise BrowserMissing(f"the browser died under the page {TRIES} times")
        finally:
            self._free.put_nowait(slot)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        await asyncio.gather(*(slot.close() for slot in self._slots))
