"""Chromium's DevTools protocol over a pair of pipes: commands out, their results and the browser's events in.

https://chromedevtools.github.io/devtools-protocol/, messages end with a zero byte. Pipes and not a WebSocket: a browser
without a network has no port to listen on, and nobody else can connect.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from deliberate.verifiers.browser.errors import BrowserGone, Refused

Event = Callable[[str, Mapping[str, Any]], None]
"""Hears an event: its method, such as `Page.loadEventFired`, and its parameters."""

MAX_MESSAGE_BYTES = 12 << 20
"""A page that says more at once, such as in one line of its console, loses its browser."""


class DevTools:
    """One connection. Sessions, each with a page, share it; the empty session is the browser itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """`reader` must take lines of MAX_MESSAGE_BYTES."""
        self._reader = reader
        self._writer = writer
        self._last = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: dict[str, Event] = {}
        self._gone = False
        self.flooded = False
        """It is gone because it said too much at once, which only a page makes it do."""
        self._reading = asyncio.create_task(self._read())

    @property
    def gone(self) -> bool:
        """The browser will not answer any more."""
        return self._gone

    def listen(self, session: str, event: Event) -> None:
        """Send a session's events there from now on."""
        self._listeners[session] = event

    def forget(self, session: str) -> None:
        """Drop a session's events from now on."""
        self._listeners.pop(session, None)

    async def call(self, method: str, session: str = "", /, **parameters: Any) -> dict[str, Any]:
        """The command's result. Raises BrowserGone, Refused."""
        answer = self.begin(method, session, **parameters)
        return await answer

    def begin(self, method: str, session: str = "", /, **parameters: Any) -> asyncio.Future[dict[str, Any]]:
        """Send a command now; its result may be awaited, or not."""
        self._last += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        if self._gone:
            answer.set_exception(BrowserGone("the browser is gone"))
            return answer
        self._waiting[self._last] = answer
        message = {"id": self._last, "method": method, "params": parameters}
        self._writer.write(json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        return answer

    async def close(self) -> None:
        """Stop reading. The browser ends by itself when its pipes close."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()

    async def _read(self) -> None:
        try:
            while True:
                self._take(json.loads((await self._reader.readuntil(b"\0"))[:-1]))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # Closed, or not itself any more: gone either way.
        except asyncio.LimitOverrunError:
            self.flooded = True
        finally:
            self._gone = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(BrowserGone("the browser is gone"))
            self._waiting.clear()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "id" not in message:
            event = self._listeners.get(message.get("sessionId", ""))
            if event is not None:
                event(message["method"], message["params"])
            return
        answer = self._waiting.pop(message["id"], None)
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(Refused(message["error"].get("message", "")))
        else:
            answer.set_result(message["result"])


def _seen(answer: asyncio.Future[dict[str, Any]]) -> None:
    """Results that nobody awaits may be errors, which is no news."""
    if not answer.cancelled():
        answer.exception()
