"""Warm Python: interpreters in boxes that fork a child for each program.

A child shares its box with the interpreter that forked it, so both gave up more than other programs do: they signal
nobody, run no other programs, open no socket, and see no files but Python's own and an empty work folder. A box is
thrown away when a child had to be stopped or left anything behind, be it a process or a file.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.channel import Channel
from deliberate.verifiers.sandbox.interpreters import Interpreter
from deliberate.verifiers.sandbox.launching import ulimits
from deliberate.verifiers.sandbox.process import BoxedProcess
from deliberate.verifiers.sandbox.protocol import MIB, Ended, Job, Limits, Outcome, SandboxUnavailable
from deliberate.verifiers.sandbox.slots import Slot
from deliberate.verifiers.sandbox.streams import Capture, Feed

_BOX = Limits(seconds=1e8, memory_bytes=1 << 40, disk_bytes=64 * MIB, processes=4096)
"""Of the interpreter that forks; each child has limits of its own."""
_READABLE = ("/usr/lib", "/lib", "/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_OVERLAP = 2
"""Interpreters for each box at once: while one waits for what the host says next, another computes."""
_SECONDS_TO_START = 30.0
_SECONDS_TO_LEAVE = 0.2
_OWN_MEMORY = 128 * MIB
"""Of the interpreter, and what a child shares with it but is counted twice."""


class PythonPool:
    """Warm interpreters, some for each box at once; each runs one child at a time."""

    def __init__(self, boxes: Boxes, interpreter: Interpreter, driver: Path, width: int) -> None:
        self._boxes, self._interpreter = boxes, interpreter
        boxes.ground.add_programs(driver.parent)
        self._driver = driver.name
        self._free: asyncio.Queue[_ForkServer | Slot] = asyncio.Queue()
        for _ in range(_OVERLAP * width):
            self._free.put_nowait(boxes.ground.slot())

    @asynccontextmanager
    async def child(self, limits: Limits, stdio: bool = True) -> AsyncGenerator["ForkedChild"]:
        """A fresh child; leaving the context ends it. Raises SandboxUnavailable."""
        place = await self._free.get()
        try:
            server = place if isinstance(place, _ForkServer) else await self._start(place)
        except BaseException:
            self._free.put_nowait(place)
            raise
        try:
            child = server.fork(limits, stdio)
        except OSError as error:
            self._free.put_nowait(server)
            raise SandboxUnavailable(f"no child could be started in the box: {error}") from error
        try:
            yield child
        finally:
            await asyncio.shield(self._return(server, child))

    async def close(self) -> None:
        """End all interpreters that are idle."""
        while not self._free.empty():
            place = self._free.get_nowait()
            if isinstance(place, _ForkServer):
                await place.close()

    async def _return(self, server: "_ForkServer", child: "ForkedChild") -> None:
        await child.close()
        if server.reusable:
            self._free.put_nowait(server)
        else:
            await server.close()
            self._boxes.clean(server.slot, lambda: self._free.put_nowait(server.slot))

    async def _start(self, slot: Slot) -> "_ForkServer":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        programs = self._boxes.builder.programs_inside
        readable = json.dumps([*_READABLE, *self._interpreter.folders])
        command = (self._interpreter.path, "-EsB", f"{programs}/fork_server.py", str(theirs.fileno()))
        job = Job((*command, f"{programs}/{self._driver}", readable), limits=_BOX, readable=self._interpreter.folders)
        with theirs:
            try:
                process = self._boxes.start(job, slot, (theirs.fileno(),))
            except SandboxUnavailable:
                ours.close()
                raise
        server = _ForkServer(process, ours, slot)
        try:
            await server.ready()
        except BaseException:
            await asyncio.shield(server.close())
            raise
        return server


class _ForkServer:
    """An interpreter in its box."""

    def __init__(self, process: BoxedProcess, control: socket.socket, slot: Slot) -> None:
        control.setblocking(False)
        self.slot = slot
        self.reusable = True
        """Nothing of the children it had is left."""
        self._process, self._control = process, control
        self._child: ForkedChild | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control, self._read)
        self._ready = asyncio.Event()
        self._gone: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until it can fork. Raises SandboxUnavailable."""
        try:
            async with asyncio.timeout(_SECONDS_TO_START):
                await self._ready.wait()
        except TimeoutError as error:
            raise SandboxUnavailable(f"the interpreter in the box did not start in {_SECONDS_TO_START:g} s") from error
        if not self.reusable:
            outcome = await self._process.outcome()
            raise SandboxUnavailable(f"the interpreter in the box did not start: {outcome.stderr[-300:]!r}")

    def fork(self, limits: Limits, stdio: bool) -> "ForkedChild":
        """A child at work, the only one. Raises OSError."""
        child = ForkedChild(self, limits, stdio)
        self._process.allow_memory(limits.memory_bytes + _OWN_MEMORY)
        try:
            socket.send_fds(self._control, [json.dumps({"limits": _limits(limits)}).encode()], child.their_files)
        except OSError as error:
            child.lost(f"the interpreter in the box is gone: {error}")
            self.reusable = False
        else:
            self._child = child
        finally:
            for file in child.their_files:
                os.close(file)
        return child

    def stop(self, why: Ended) -> None:
        """End the box, and with it the child."""
        self.reusable = False
        self._process.end(why)

    async def close(self) -> None:
        """End the box."""
        self.reusable = False
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        await self._process.close()
        await self._tell_child()

    def _read(self) -> None:
        try:
            message = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._loop.remove_reader(self._control)
            self.reusable = False
            self._ready.set()
            self._gone = self._loop.create_task(self._tell_child())
            return
        said = json.loads(message)
        if "ready" in said:
            self._ready.set()
            return
        self.reusable = self.reusable and not said["dirty"]
        child, self._child = self._child, None
        if child is not None:
            child.exited(said["code"])

    async def _tell_child(self) -> None:
        """What became of it with the box: where a limit was broken, that was the child's doing."""
        outcome = await self._process.outcome()
        child, self._child = self._child, None
        if child is not None and outcome.ended == "exited":
            child.lost("the interpreter in the box died")
        elif child is not None:
            child.exited(outcome.code, outcome.ended)


class ForkedChild:
    """A child at work, as seen from outside."""

    def __init__(self, server: _ForkServer, limits: Limits, stdio: bool) -> None:
        self._server = server
        loop = asyncio.get_running_loop()
        self._ended: Ended = "exited"
        self._end: asyncio.Future[int] = loop.create_future()
        self._started = time.perf_counter()
        self._streams = _Streams(server, limits) if stdio else None
        ours, theirs = socket.socketpair()
        self.their_files = [*(self._streams.theirs if self._streams else ()), theirs.detach()]
        """The channel, after standard input, output and error where it has them."""
        self._channel = Channel(ours.detach(), lambda: server.stop("output"))
        self._deadline = loop.call_later(limits.seconds, server.stop, "timeout")

    def send_messages(self, *lines: bytes) -> None:
        """Lines to the driver; they must hold no line breaks."""
        self._channel.send(*lines)

    async def message(self) -> bytes:
        """The driver's next line; empty when the child has ended."""
        return await self._channel.line()

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        if self._streams is not None:
            self._streams.input.write(data)

    def close_input(self) -> None:
        """Let its standard input end after what was sent."""
        if self._streams is not None:
            self._streams.input.end()

    async def outcome(self) -> Outcome:
        """Wait for its end. Raises SandboxUnavailable when the box was lost."""
        code = await asyncio.shield(self._end)
        seconds = time.perf_counter() - self._started
        output, errors = (b"", b"") if self._streams is None else self._streams.captured()
        return Outcome(self._ended, code, output, errors, seconds)

    async def close(self) -> None:
        """End it: most drivers do so by themselves once nobody talks to them, and then their box is as good as new."""
        self._release()
        if not self._end.done():
            await asyncio.wait([self._end], timeout=_SECONDS_TO_LEAVE)
        if not self._end.done():
            await self._server.close()

    def exited(self, code: int, ended: Ended = "exited") -> None:
        """The child is gone, by itself or by a limit that it broke."""
        self._release()
        if not self._end.done():
            self._ended = ended
            self._end.set_result(code)

    def lost(self, why: str) -> None:
        """Nobody knows what became of the child."""
        self._release()
        if not self._end.done():
            self._end.set_exception(SandboxUnavailable(why))
            self._end.exception()  # Not everybody waits for it.

    def _release(self) -> None:
        self._deadline.cancel()
        self._channel.close()
        if self._streams is not None:
            self._streams.close()


class _Streams:
    """Standard input, output and error of a child."""

    def __init__(self, server: _ForkServer, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        inward, outward, errors = os.pipe(), os.pipe(), os.pipe()
        self.theirs = (inward[0], outward[1], errors[1])
        self.input = Feed(loop, inward[1])
        self._output = Capture(loop, outward[0], limits.output_bytes, lambda: server.stop("output"))
        self._errors = Capture(loop, errors[0], limits.output_bytes)

    def captured(self) -> tuple[bytes, bytes]:
        """What it wrote to its output and its errors."""
        return bytes(self._output.data), bytes(self._errors.data)

    def close(self) -> None:
        for pipe in (self.input, self._output, self._errors):
            pipe.close()


def _limits(limits: Limits) -> dict[str, int]:
    bounds = replace(limits, address_space_bytes=limits.memory_bytes)
    return {f"RLIMIT_{name.upper()}": value for name, value in ulimits(bounds).items()}
