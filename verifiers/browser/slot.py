"""A place for one browser, in which one page after another is visited."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from deliberate.verifiers.browser.chromium import Chromium
from deliberate.verifiers.browser.containment import browser_command
from deliberate.verifiers.browser.errors import BrowserGone, BrowserMissing, Busy, Fault, Refused
from deliberate.verifiers.browser.modules import Library
from deliberate.verifiers.browser.processes import kill, role
from deliberate.verifiers.browser.rendering import Rendering
from deliberate.verifiers.browser.tab import Tab
from deliberate.verifiers.browser.visit import Visit

OPEN_S = 30.0
"""For our own page, which is there at once; a browser that needs longer is not well."""
CLOSE_S = 5.0
MEMORY_EVERY_S = 0.08
BUSY_SHARE = 0.75
"""A page that is not done in time had this share of a processor, or the machine is to blame."""
CRASH_NEWS_S = 0.3
"""A command fails a moment before the browser says that its page crashed."""


@dataclass(frozen=True, slots=True)
class Order:
    """A page to visit."""

    page: str
    performance: bool
    """Also measure how fast the machine is just now."""
    timeout_s: float
    memory_bytes: int
    """Most that one process of the browser may hold."""


class Slot:
    """One browser at a time, started when it is needed. One page at a time: what happens in it is that page's doing."""

    def __init__(self, number: int, *, contained: bool, node_modules: Path | None) -> None:
        self._number = number
        self._contained = contained
        self._node_modules = node_modules
        self._browser: Chromium | None = None
        self._next: asyncio.Task[Tab] | None = None

    async def render(self, order: Order) -> Rendering:
        """Visit a page. Raises BrowserMissing, Busy; BrowserGone when the browser died, not by the page's doing."""
        browser = await self._started()
        try:
            async with asyncio.timeout(OPEN_S):
                tab = await self._opened(browser)
                rate = await tab.calibrate() if order.performance else None
        except (BrowserGone, Refused, TimeoutError) as error:
            await self.close()
            raise BrowserGone(str(error)) from error
        except (BrowserMissing, asyncio.CancelledError):
            await self.close()
            raise
        known = _Parts.of(browser)
        try:
            rendering = await _visit(browser, tab, order)
        except BaseException:
            await self.close()
            raise
        await self._leave(browser, tab, known, wrong=rendering.fault is not None)
        return replace(rendering, calibration_per_s=rate)

    async def close(self) -> None:
        """End the browser; the next page gets a new one."""
        browser, self._browser = self._browser, None
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
            self._next = None
        if browser is not None:
            await browser.close()

    async def _started(self) -> Chromium:
        if self._browser is not None and not self._browser.alive:
            await self.close()
        if self._browser is None:
            command = await asyncio.to_thread(browser_command, self._number, contained=self._contained)
            self._browser = await Chromium.start(command)
        return self._browser

    async def _opened(self, browser: Chromium) -> Tab:
        """A fresh page, perhaps made ready while nobody waited."""
        ready, self._next = self._next, None
        return await (ready or self._open(browser))

    async def _open(self, browser: Chromium) -> Tab:
        tab = Tab(browser, await asyncio.to_thread(Library.find, self._node_modules))
        await tab.open()
        return tab

    async def _leave(self, browser: Chromium, tab: Tab, known: "_Parts", *, wrong: bool) -> None:
        """Drop the page; of one that went wrong also what it began since the browser had only these parts."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await tab.close()
                await browser.tools.call("Browser.getVersion")
        except (BrowserGone, Refused, TimeoutError):
            await self.close()
            return
        now = _Parts.of(browser)
        # A browser that lost its drawing process a few times gives up WebGL, for all pages that come.
        if now.drawing != known.drawing:
            await self.close()
            return
        for process in now.pages - known.pages if wrong else ():
            kill(process)  # Chromium keeps the process of a page that hangs for a while.
        self._next = asyncio.create_task(self._open(browser))
        self._next.add_done_callback(_seen)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Processes of a browser."""

    pages: frozenset[int]
    drawing: frozenset[int]

    @classmethod
    def of(cls, browser: Chromium) -> "_Parts":
        roles = {process: role(process) for process in browser.processes()}
        pages = frozenset(process for process, role in roles.items() if role == "renderer")
        return cls(pages, frozenset(process for process, role in roles.items() if role == "gpu-process"))


async def _visit(browser: Chromium, tab: Tab, order: Order) -> Rendering:
    """The visit, as far as the page lets it go."""
    visit = Visit(browser, tab)
    start = browser.cpu_seconds()
    making = asyncio.create_task(visit.make(order.page))
    watching = asyncio.create_task(_watch_memory(browser, order.memory_bytes))
    try:
        first, _ = await asyncio.wait(
            {making, watching, tab.fault}, timeout=order.timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not first:
            _blame(browser.cpu_seconds() - start, order.timeout_s)
        if watching in first:
            raise watching.result()
        if making in first and making.exception() is None:
            return visit.rendering
        if making in first and isinstance(making.exception(), BrowserGone | Refused):
            await asyncio.wait({tab.fault}, timeout=CRASH_NEWS_S)
        if tab.fault.done():
            raise tab.fault.result()
        if browser.tools.flooded:
            raise Fault("the page floods its console")
        await making
    except Refused as error:
        raise BrowserGone(str(error)) from error
    except Fault as fault:
        return replace(visit.rendering, fault=str(fault), refused=tuple(tab.refused), errors=tuple(tab.errors))
    finally:
        for task in (making, watching):
            task.cancel()
        await asyncio.wait({making, watching})
    return visit.rendering


def _blame(used_s: float, limit_s: float) -> None:
    if used_s < BUSY_SHARE * limit_s:
        raise Busy(f"the page got {used_s:.1f} s of a processor in {limit_s:g} s")
    raise Fault(f"the page is not done within {limit_s:g} s")


async def _watch_memory(browser: Chromium, most: int) -> Fault:
    while True:
        process, size = browser.largest()
        if size > most:
            kill(process)
            return Fault(f"the page takes more than {most >> 20} MiB of memory")
        await asyncio.sleep(MEMORY_EVERY_S)


def _seen(opening: "asyncio.Task[Tab]") -> None:
    """A page that could not be made ready is no news before somebody wants it."""
    if not opening.cancelled():
        opening.exception()
