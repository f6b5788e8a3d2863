"""Servers for tests: real sockets, scripted engines."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Any

import httpx

from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.run import AnnouncedServer
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

CANDIDATES = [
    "<think>1 + 1 = 3</think><answer>3</answer>",
    "<think>1 + 1 = 2</think><answer>2</answer>",
    "<think>2 - 1 = 1, so 2</think><answer>2</answer>",
    "<think>a long way to say it: 1 + 1 = 4</think><answer>4</answer>",
]
"""Two votes for 2, one each for 3 and 4; the calculator passes those for 2."""

MESSAGES = [{"role": "user", "content": "What is 1 + 1?"}]


@dataclass(frozen=True, slots=True)
class Live:
    """A running server, and the engine behind its model `tiny`."""

    url: str
    """Without /v1."""
    engine: ScriptedEngine
    http: httpx.Client

    def chat(self, **fields: Any) -> httpx.Response:
        """POST a chat request with defaults."""
        body = {"model": "tiny", "messages": MESSAGES} | fields
        return self.http.post("/v1/chat/completions", json=body)


class LazyServer(AnnouncedServer):
    """Tries its boxes for programs when a request first needs one, as most tests never do."""

    async def _examine_sandbox(self) -> None:
        pass


@contextmanager
def running(settings: Settings, models: Sequence[ServedModel]) -> Generator[str, None, None]:
    """A server in a thread; its URL without /v1."""
    urls: Queue[str] = Queue()
    server = LazyServer(settings, models, urls.put)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(),), daemon=True)
    thread.start()
    try:
        yield urls.get(timeout=60).removesuffix("/v1")
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@contextmanager
def live(
    script: Sequence[Reply | str] = CANDIDATES, *, engine: ScriptedEngine | None = None, **settings: Any
) -> Generator[Live, None, None]:
    """A server with one model `tiny` that says the script."""
    engine = engine or ScriptedEngine(script)
    defaults = {"port": 0, "log_level": "critical", "drain_timeout_seconds": 1, "verifier": "calculator"}
    config = Settings.model_validate(defaults | settings)
    with (
        running(config, [ServedModel("tiny", engine, created=1)]) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield Live(url, engine, http)
