"""Python without a warm interpreter: a box of its own for each child. For tier C, where interpreters cannot fork, and
where nothing is to wait."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.channel import Channel
from deliberate.verifiers.sandbox.interpreters import Interpreter
from deliberate.verifiers.sandbox.process import BoxedProcess
from deliberate.verifiers.sandbox.protocol import Job, Limits, Outcome, SandboxUnavailable, Tier

_SECONDS_TO_START = 30.0
_WASI_CHANNEL = 1000
"""What WebAssembly knows its one socket as, whatever number it has outside."""


class FreshPythons:
    """As `PythonPool`, but every child starts an interpreter; that time is none of its own."""

    def __init__(self, boxes: Boxes, interpreter: Interpreter, driver: Path, width: int) -> None:
        boxes.ground.add_programs(driver.parent)
        # Boxes of its own: a program may wait here for one that runs another driver.
        self._boxes = Boxes(boxes.builder, boxes.ground, width)
        programs = boxes.builder.programs_inside
        self._readable = interpreter.folders
        self._command = (interpreter.path, "-EsB", f"{programs}/serve_once.py", driver.stem)

    @asynccontextmanager
    async def child(self, limits: Limits, stdio: bool = True) -> AsyncGenerator["FreshChild"]:
        """A fresh child; leaving the context ends it. Raises SandboxUnavailable."""
        ours, theirs = socket.socketpair()
        number = _WASI_CHANNEL if self._boxes.tier is Tier.C else theirs.fileno()
        job = Job(
            (*self._command, str(number)),
            limits=replace(limits, seconds=limits.seconds + _SECONDS_TO_START),
            readable=self._readable,
        )
        with ours, theirs:
            async with self._boxes.open(job, (theirs.fileno(),)) as process:
                theirs.close()
                child = FreshChild(process, ours.detach())
                try:
                    await child.start(limits.seconds)
                    yield child
                finally:
                    child.close()

    async def close(self) -> None:
        """Wait until all folders are clean."""
        await self._boxes.close()


class FreshChild:
    """A child at work, as seen from outside."""

    def __init__(self, process: BoxedProcess, channel: int) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._channel = Channel(channel, lambda: process.end("output"))

    async def start(self, seconds: float) -> None:
        """Wait until the driver is there; from then on it has so long. Raises SandboxUnavailable."""
        try:
            async with asyncio.timeout(_SECONDS_TO_START):
                line = await self._channel.line()
        except TimeoutError as error:
            raise SandboxUnavailable(f"the interpreter in the box did not start in {_SECONDS_TO_START:g} s") from error
        if line != b"ready":
            outcome = await self._process.outcome()
            raise SandboxUnavailable(f"the interpreter in the box did not start: {outcome.stderr[-300:]!r}")
        self._deadline = self._loop.call_later(seconds, self._process.end, "timeout")

    def send_messages(self, *lines: bytes) -> None:
        """Lines to the driver; they must hold no line breaks."""
        self._channel.send(*lines)

    async def message(self) -> bytes:
        """The driver's next line; empty when the child has ended."""
        return await self._channel.line()

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        self._process.send(data)

    def close_input(self) -> None:
        """Let its standard input end after what was sent."""
        self._process.close_input()

    async def outcome(self) -> Outcome:
        """Wait for its end."""
        return await self._process.outcome()

    def close(self) -> None:
        """Talk to it no more."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._channel.close()
