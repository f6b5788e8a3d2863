"""Server-sent events: a chat's chunks over HTTP, with comments in times of silence."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deliberate.server.chat import Chat
from deliberate.server.chunks import stream
from deliberate.server.errors import guarded
from deliberate.server.lifetime import while_connected

DONE = "[DONE]"
KEEP_ALIVE = b": keep-alive\n\n"
READER_SECONDS = 30.0
"""After the deadline, a client that does not read what is sent is cut off."""


class EventStream(Response):
    """Streams one chat. Its slots are taken before the headers are sent; a client that leaves ends the search."""

    media_type = "text/event-stream"

    def __init__(self, chat: Chat, headers: dict[str, str]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"} | headers)
        del self.headers["content-length"]
        self._chat = chat
        self._keep_alive_seconds = chat.server.settings.keep_alive_seconds
        self._longest = chat.server.settings.request_timeout_seconds + READER_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._chat.admitted():
            await while_connected(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        line = _Line(send)
        async with asyncio.timeout(self._longest), asyncio.TaskGroup() as group:
            keeper = group.create_task(line.keep_alive(self._keep_alive_seconds))
            async with aclosing(guarded(_data(self._chat))) as events:
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


async def _data(chat: Chat) -> AsyncGenerator[str, None]:
    options = chat.request.stream_options
    with_usage = options is not None and options.include_usage
    async with aclosing(stream(chat)) as chunks:
        async for chunk in chunks:
            yield chunk.data(with_usage)
    yield DONE
