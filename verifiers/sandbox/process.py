"""A program at work in a box, as seen from outside: fed, listened to, watched, and ended."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable

from deliberate.verifiers.sandbox.inside.statuses import exit_status
from deliberate.verifiers.sandbox.launching import Launch
from deliberate.verifiers.sandbox.protocol import Ended, Limits, Outcome, SandboxUnavailable
from deliberate.verifiers.sandbox.streams import Capture, Feed
from deliberate.verifiers.sandbox.usage import resident_bytes

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
        self._memory = limits.memory_bytes + launch.overhead_bytes
        self._loop = asyncio.get_running_loop()
        self._ended: Ended | None = None
        self._exited = asyncio.Event()
        self._killed = False
        inward, outward, errors = os.pipe(), os.pipe(), os.pipe()
        try:
            self._popen = _start(launch, inward[0], outward[1], errors[1])
        except OSError as error:
            leash = () if launch.leash is None else (launch.leash,)
            for number in (inward[1], outward[0], errors[0], *leash):
                os.close(number)
            raise SandboxUnavailable(f"the box could not be started: {error}") from error
        finally:
            for number in (inward[0], outward[1], errors[1], *launch.given):
                os.close(number)
        self._started = time.perf_counter()
        self._stdin = Feed(self._loop, inward[1])
        self._stdout = Capture(self._loop, outward[0], limits.output_bytes, lambda: self.end("output"))
        self._stderr = Capture(self._loop, errors[0], limits.output_bytes)
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._saw_exit)
        self._deadline = self._loop.call_later(limits.seconds, self.end, "timeout")
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
        """The next line of its standard output that is not empty, without its end; empty once no more will come."""
        return await self._stdout.line()

    async def outcome(self) -> Outcome:
        """Wait for its end."""
        await self._exited.wait()
        return Outcome(
            self._ended or "exited",
            exit_status(self._popen.wait()),
            bytes(self._stdout.data),
            bytes(self._stderr.data),
            self._finished - self._started,
        )

    def allow_memory(self, size: int) -> None:
        """From now on it may have so many bytes resident, all processes together."""
        self._memory = size

    def end(self, why: Ended) -> None:
        """End it for a limit that it broke."""
        if self._ended is None and not self._exited.is_set():
            self._ended = why
            self._kill()

    def _kill(self) -> None:
        if self._killed:
            return
        self._killed = True
        if self._leash is None:
            self._popen.kill()
        else:  # Who holds the other end kills all the rest, and only then ends.
            os.close(self._leash)
            self._leash = None
            self._loop.call_later(_LAST_SECONDS, self._popen.kill)

    def _look(self) -> None:
        if resident_bytes(self._popen.pid) > self._memory:
            self.end("memory")
        elif self._disk_is_full():
            self.end("disk")
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
