"""A program at work in a box, as seen from outside: fed, listened to, watched, and ended."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable

from deliberate.verifiers.sandbox.launching import Launch
from deliberate.verifiers.sandbox.protocol import Ended, Limits, Outcome, SandboxUnavailable
from deliberate.verifiers.sandbox.usage import resident_bytes

_CHUNK = 1 << 16
_WATCH_SECONDS = 0.05
"""Between two looks at what the program uses."""
_LAST_SECONDS = 5.0
"""For a box that was ended to be gone."""


class BoxedProcess:
    """One program in its box. Whoever starts it closes it."""

    def __init__(self, launch: Launch, limits: Limits, disk_is_full: Callable[[], bool] = lambda: False) -> None:
        """Starts it. `disk_is_full` is asked from time to time. Raises SandboxUnavailable."""
        self._limits = limits
        self._disk_is_full = disk_is_full
        self._leash = launch.leash
        self._loop = asyncio.get_running_loop()
        self._ended: Ended | None = None
        self._exited = asyncio.Event()
        inward, outward, errors = os.pipe(), os.pipe(), os.pipe()
        try:
            self._popen = _start(launch, inward[0], outward[1], errors[1])
        except OSError as error:
            for number in (inward[1], outward[0], errors[0]):
                os.close(number)
            raise SandboxUnavailable(f"the box could not be started: {error}") from error
        finally:
            for number in (inward[0], outward[1], errors[1], *launch.given):
                os.close(number)
        self._started = time.perf_counter()
        self._stdin = _Feed(self._loop, inward[1])
        self._stdout = _Capture(self._loop, outward[0], limits.output_bytes, lambda: self._end("output"))
        self._stderr = _Capture(self._loop, errors[0], limits.output_bytes)
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._saw_exit)
        self._deadline = self._loop.call_later(limits.seconds, self._end, "timeout")
        self._watch = self._loop.call_later(_WATCH_SECONDS, self._look)

    @property
    def ended(self) -> bool:
        """It runs no more."""
        return self._exited.is_set()

    def send(self, data: bytes) -> None:
        """Write to its standard input, as fast as it reads; what it does not read is dropped at its end."""
        self._stdin.write(data)

    def close_input(self) -> None:
        """Let its standard input end after what was sent."""
        self._stdin.end()

    async def line(self) -> bytes:
        """The next whole line of its standard output, without its end; empty once it has ended and no line is left."""
        while (line := self._stdout.take_line()) is None:
            if self._exited.is_set():
                return self._stdout.take_line() or b""
            await self._stdout.changed_or(self._exited)
        return line

    async def outcome(self) -> Outcome:
        """Wait for its end."""
        await self._exited.wait()
        code = self._popen.wait()
        return Outcome(
            self._ended or "exited",
            code if code >= 0 else 128 - code,
            bytes(self._stdout.data),
            bytes(self._stderr.data),
            self._finished - self._started,
        )

    def _end(self, why: Ended) -> None:
        if self._ended is None and not self._exited.is_set():
            self._ended = why
            self._kill()

    def _kill(self) -> None:
        if self._leash is None:
            self._popen.kill()
        else:
            os.close(self._leash)
            self._leash = None
            self._last = self._loop.call_later(_LAST_SECONDS, self._popen.kill)

    def _look(self) -> None:
        if resident_bytes(self._popen.pid) > self._limits.memory_bytes:
            self._end("memory")
        elif self._disk_is_full():
            self._end("disk")
        else:
            self._watch = self._loop.call_later(_WATCH_SECONDS, self._look)

    def _saw_exit(self) -> None:
        self._finished = time.perf_counter()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._deadline.cancel()
        self._watch.cancel()
        # Not until the pipes close: something that survived its program might hold them.
        for capture in (self._stdout, self._stderr):
            capture.close()
        self._stdin.close()
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None
        self._exited.set()

    async def close(self) -> None:
        """End it, and everything it started."""
        if not self._exited.is_set():
            self._kill()
            await self._exited.wait()


def _start(launch: Launch, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        launch.command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=launch.inherited,
        cwd="/",
        env={},
        start_new_session=True,
    )


class _Feed:
    """Writes a pipe without ever waiting for its reader."""

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


class _Capture:
    """Reads a pipe up to a limit; what is above it is told once, or else dropped."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pipe: int, limit: int, above: Callable[[], None] | None = None
    ) -> None:
        os.set_blocking(pipe, False)
        self._loop, self._pipe, self._limit, self._above = loop, pipe, limit, above
        self.data = bytearray()
        self._taken = 0
        self._changed = asyncio.Event()
        self._open = True
        loop.add_reader(pipe, self._read)

    def take_line(self) -> bytes | None:
        end = self.data.find(b"\n", self._taken)
        if end < 0:
            return None
        line = bytes(self.data[self._taken : end])
        self._taken = end + 1
        return line

    async def changed_or(self, event: asyncio.Event) -> None:
        """Wait for more, or for the event."""
        self._changed.clear()
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(event.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def close(self) -> None:
        """Read what is there, then no more."""
        with contextlib.suppress(BlockingIOError):
            while self._open and len(self.data) < self._limit:
                self._take(os.read(self._pipe, _CHUNK))
        if self._open:
            self._stop()
        self._changed.set()

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
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
