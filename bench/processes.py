"""Servers and workers that a measurement starts, and that end with it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deliberate.engines.errors import DeliberateError


class NotStarted(DeliberateError):
    """A process ended, or took too long, before it answered."""


@asynccontextmanager
async def running(command: Sequence[str], log: Path) -> AsyncGenerator[Process, None]:
    """A process with pipes to its stdin and stdout, in a group of its own that is ended with it."""
    with log.open("wb") as errors:
        process = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=errors, start_new_session=True)
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def server(command: Sequence[str], log: Path, seconds: float = 300) -> AsyncGenerator[str, None]:
    """Base URL of an OpenAI-compatible server; `--port` is added to its command."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with running([*command, "--port", str(port)], log) as process:
        said = asyncio.create_task(_drain(process))
        async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
            while not await _healthy(client, url):
                if process.returncode is not None:
                    raise NotStarted(f"{' '.join(command)} ended with {process.returncode}: {end_of(log)}")
                await asyncio.sleep(0.2)
        yield f"{url}/v1"
        said.cancel()


async def _drain(process: Process) -> None:
    """Read what nobody wants, so that the process never waits for a reader."""
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass


def end_of(log: Path) -> str:
    """The last words of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


async def _healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health")).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def script(name: str) -> str:
    """A console script of this environment."""
    return str(Path(sys.executable).parent / name)
