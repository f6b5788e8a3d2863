"""Server-sent events: what some work writes, over HTTP, with comments in times of silence."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from time import monotonic

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deliberate.server.errors import guarded
from deliberate.server.lifetime import while_connected
from deliberate.server.work import Work

DONE = "[DONE]"
KEEP_ALIVE = b": keep-alive\n\n"
READER_SECONDS = 30.0
"""After the deadline, a client that does not read what is sent is cut off."""


class EventStream(Response):
    """Streams what `data` writes while it does the work. Slots are taken before the headers are sent; a client that
    leaves ends the work."""

    media_type = "text/event-stream"

    def __init__(self, work: Work, data: AsyncGenerator[str, None], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._work = work
        self._data = data
        self._keep_alive_seconds = work.server.settings.keep_alive_seconds
        self._longest = work.server.settings.request_timeout_seconds + READER_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._work.admitted():
            await while_connected(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        line = _Line(send)
        async with asyncio.timeout(self._longest), asyncio.TaskGroup() as group:
            keeper = group.create_task(line.keep_alive(self._keep_alive_seconds))
            async with aclosing(guarded(_ended(self._data))) as events:
                async for data in events:
                    await line.write(f"data: {data}\n\n".encode())
            keeper.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Line:
    """The connection, and when it was last used."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._used = monotonic()

    async def write(self, body: bytes) -> None:
        self._used = monotonic()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def keep_alive(self, seconds: float) -> None:
        while True:
            silent = monotonic() - self._used
            if silent >= seconds:
                await self.write(KEEP_ALIVE)
                silent = 0.0
            await asyncio.sleep(seconds - silent)


async def _ended(data: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(data) as events:
        async for event in events:
            yield event
    yield DONE
