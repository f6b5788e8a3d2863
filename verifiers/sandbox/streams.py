"""Pipes to and from a program that may never read, or never stop writing."""

import asyncio
import contextlib
import os
from collections.abc import Callable

_CHUNK = 1 << 16


class Feed:
    """Writes a pipe without ever waiting for its reader; what is not read is dropped at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._loop, self._pipe = loop, pipe
        self._left = bytearray()
        self._ending = self._closed = self._waiting = False

    def write(self, data: bytes) -> None:
        if not self._closed:
            self._left += data
            self._go_on()

    def end(self) -> None:
        self._ending = True
        if not self._left:
            self.close()

    def close(self) -> None:
        if not self._closed:
            self._wait(False)
            self._closed = True
            os.close(self._pipe)

    def _go_on(self) -> None:
        try:
            while self._left:
                del self._left[: os.write(self._pipe, self._left[:_CHUNK])]
        except BlockingIOError:
            self._wait(True)
        except OSError:  # It reads no more.
            self.close()
        else:
            self._wait(False)
            if self._ending:
                self.close()

    def _wait(self, waiting: bool) -> None:
        if waiting and not self._waiting:
            self._loop.add_writer(self._pipe, self._go_on)
        elif self._waiting and not waiting:
            self._loop.remove_writer(self._pipe)
        self._waiting = waiting


class Capture:
    """Reads a pipe and holds up to a limit; when more comes, that is told, or else it is dropped."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pipe: int, limit: int, above: Callable[[], None] | None = None
    ) -> None:
        os.set_blocking(pipe, False)
        self._loop, self._pipe, self._limit, self._above = loop, pipe, limit, above
        self.data = bytearray()
        """What was read and not taken as a line."""
        self._searched = 0
        """Bytes of it that hold no end of a line."""
        self._changed = asyncio.Event()
        self._open = True
        loop.add_reader(pipe, self._read)

    def take_line(self) -> bytes | None:
        """The next whole line without its end; None where there is none yet."""
        end = self.data.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self.data)
            return None
        line = bytes(self.data[:end])
        del self.data[: end + 1]
        self._searched = 0
        return line

    async def line(self) -> bytes:
        """Wait for the next whole line that is not empty; empty once the pipe is at its end and no line is left."""
        while not (line := self.take_line()):
            if line is None and not self._open:
                return b""
            if line is None:
                self._changed.clear()
                await self._changed.wait()
        return line

    def close(self) -> None:
        """Read what is there, then no more."""
        with contextlib.suppress(BlockingIOError):
            while self._open and len(self.data) < self._limit:
                self._take(os.read(self._pipe, _CHUNK))
        if self._open:
            self._stop()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._take(os.read(self._pipe, _CHUNK))
            self._changed.set()

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._stop()
        self.data += chunk[: self._limit - len(self.data)]
        if len(chunk) and len(self.data) >= self._limit and self._above is not None:
            self._above()

    def _stop(self) -> None:
        self._open = False
        self._changed.set()
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
