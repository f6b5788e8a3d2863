"""A visit to a page: wait until it draws, watch it, touch it, give it another window."""

import asyncio
import base64
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from deliberate.verifiers.browser.chromium import Chromium
from deliberate.verifiers.browser.errors import Fault
from deliberate.verifiers.browser.habits import Habits
from deliberate.verifiers.browser.hands import INPUTS
from deliberate.verifiers.browser.pixels import COLUMNS, ROWS, from_png
from deliberate.verifiers.browser.rendering import Rendering, Resized
from deliberate.verifiers.browser.seen import Box, Canvas, Moment, Seen, read_seen
from deliberate.verifiers.browser.tab import HEIGHT, WIDTH, Tab

STALL_S = 3.0
"""A page that says nothing hangs once the processors have worked so long for its browser: on a busy machine later."""
ASK_AGAIN_S = 0.3
FIRST_DRAW_S = 1.2
"""After loading, until something is drawn."""
WATCH_S, WATCH_PICTURES, WATCH_AT_MOST_S = 0.6, 12, 1.4
TOUCH_S, TOUCH_PICTURES = 0.3, 3
SLOW_TOUCH_S = 1.2
"""For canvases that change at times, but seldom."""
RESIZED = (420, 560)
RESIZE_S = 0.5
LOOK_EVERY_S = 0.04
SCREENSHOT_BYTES = 100_000
_QUALITIES = (60, 25, 8)

T = TypeVar("T")


class Visit:
    """One visit, in steps."""

    def __init__(self, browser: Chromium, tab: Tab) -> None:
        self._browser = browser
        self._tab = tab
        self._main: int | None = None
        self._moments: list[Moment] = []
        self.rendering = Rendering()
        """What is known so far."""

    async def make(self, page: str) -> None:
        """Raises Fault, BrowserGone, Refused."""
        await self._answered(self._tab.load(page))
        if await self._first_draw():
            await self._watch()
        await self._photograph()
        if self._main is not None:
            await self._touch()
            await self._resize()
        await self._note_errors()

    async def _first_draw(self) -> bool:
        """Whether anything that can be seen is drawn in time."""
        deadline = None
        while deadline is None or time.monotonic() < deadline:
            seen = await self._look()
            self._main = seen.largest(WIDTH, HEIGHT)
            if self._main is not None and self._moments_of(seen):
                return True
            if deadline is None and self._tab.loaded.is_set():
                deadline = time.monotonic() + FIRST_DRAW_S
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _watch(self) -> None:
        start = time.monotonic()
        first = self._canvas(await self._look()).frames
        since = time.monotonic()
        enough = lambda: len(self._moments) >= WATCH_PICTURES and time.monotonic() - start >= WATCH_S  # noqa: E731
        seen = await self._look_until(enough, WATCH_AT_MOST_S)
        # The host's clock: a page may replace its own.
        rate = (self._canvas(seen).frames - first) / (time.monotonic() - since)
        self.rendering = replace(
            self.rendering, draws=seen.draws, moments=tuple(self._moments), frames_per_s=round(rate, 2)
        )

    async def _photograph(self) -> None:
        for quality in _QUALITIES:
            screenshot = await self._capture(format="jpeg", quality=quality)
            if len(screenshot) <= SCREENSHOT_BYTES:
                self.rendering = replace(self.rendering, screenshot=screenshot)
                break
        if self._main is None:
            return
        box = self._canvas(await self._look()).box
        shown = from_png(await self._capture(format="png", clip=_clip(box)))
        self.rendering = replace(self.rendering, visible=shown is not None and not shown.blank)

    async def _touch(self) -> None:
        box = self._canvas(await self._look()).box
        await self._look_until(lambda: False, 2 * LOOK_EVERY_S)
        habits = Habits()
        for moment in self.rendering.moments:
            habits.learn(moment)
        for moment in self._moments[len(self.rendering.moments) :]:  # While the photograph was taken.
            habits.meet(moment)
        at_most_s = min(SLOW_TOUCH_S, max(TOUCH_S, TOUCH_PICTURES * habits.longest_gap_ms / 1000))
        for name, touch in INPUTS.items():
            before = len(self._moments)
            await self._answered(touch(self._tab, box))
            await self._look_until(lambda before=before: len(self._moments) >= before + TOUCH_PICTURES, at_most_s)
            if any(habits.breaks(moment) for moment in self._moments[before:]):
                self.rendering = replace(self.rendering, inputs=(*self.rendering.inputs, name))
                return

    async def _resize(self) -> None:
        seen = await self._look()
        before, errors = self._canvas(seen), seen.errors
        await self._answered(self._tab.resize(*RESIZED))
        start = time.monotonic()
        while time.monotonic() - start < RESIZE_S:
            await asyncio.sleep(LOOK_EVERY_S)
            seen = await self._look()
            after = self._canvas(seen)
            if after.frames >= before.frames + 2 and after.box != before.box:
                break
        self._main = self._main if seen.largest(*RESIZED) is None else seen.largest(*RESIZED)
        resized = Resized(before.box, self._canvas(seen).box, *RESIZED, seen.errors - errors)
        self.rendering = replace(self.rendering, resized=resized)

    async def _note_errors(self) -> None:
        seen = await self._look()
        hidden = await self._answered(self._tab.hidden_errors(seen.errors))
        known = tuple(self._tab.errors)
        new = [error for error in dict.fromkeys(hidden) if not any(told.startswith(error) for told in known)]
        self.rendering = replace(self.rendering, errors=(*known, *new), refused=tuple(self._tab.refused))

    async def _look_until(self, enough: Callable[[], bool], at_most_s: float) -> Seen:
        deadline = time.monotonic() + at_most_s
        while True:
            seen = await self._look()
            if enough() or time.monotonic() >= deadline:
                return seen
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> Seen:
        seen = read_seen(await self._answered(self._tab.read()))
        self._moments += self._moments_of(seen)
        return seen

    def _moments_of(self, seen: Seen) -> tuple[Moment, ...]:
        return () if self._main is None or self._main >= len(seen.canvases) else seen.canvases[self._main].moments

    def _canvas(self, seen: Seen) -> Canvas:
        """The canvas that is watched."""
        if self._main is None or self._main >= len(seen.canvases):
            raise Fault("the page began anew")
        return seen.canvases[self._main]

    async def _capture(self, **how: object) -> bytes:
        return base64.b64decode((await self._answered(self._tab.call("Page.captureScreenshot", **how)))["data"])

    async def _answered(self, answer: Coroutine[Any, Any, T]) -> T:
        """What the page answers, unless the processors work for nothing else for too long."""
        task = asyncio.ensure_future(answer)
        try:
            start = None
            while not (await asyncio.wait({task}, timeout=ASK_AGAIN_S))[0]:
                used = self._browser.cpu_seconds()
                start = used if start is None else start
                if used - start >= STALL_S:
                    raise Fault(f"the page hangs: no answer within {STALL_S:g} s of a processor")
            return task.result()
        finally:
            task.cancel()


def _clip(box: Box) -> dict[str, float]:
    """The part of the window where the canvas is, as small as all pictures."""
    width, height = min(box.width, WIDTH - box.x), min(box.height, HEIGHT - box.y)
    scale = min(COLUMNS / width, ROWS / height)
    return {"x": max(0.0, box.x), "y": max(0.0, box.y), "width": width, "height": height, "scale": scale}
