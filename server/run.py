"""Runs the server on its address until it is told to stop."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvicorn

from deliberate.server.app import create_app
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

_logger = logging.getLogger("uvicorn.sandbox")


def serve(settings: Settings, models: Sequence[ServedModel], ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then running requests may take `drain_timeout_seconds` longer.

    `ready` is called with the base URL once requests are answered.
    """
    server = AnnouncedServer(settings, models, ready)
    with suppress(KeyboardInterrupt):
        asyncio.run(server.serve())


class AnnouncedServer(uvicorn.Server):
    """A server that says where it listens."""

    def __init__(self, settings: Settings, models: Sequence[ServedModel], ready: Callable[[str], None]) -> None:
        self._app = create_app(settings, models)
        super().__init__(
            uvicorn.Config(
                self._app,
                host=settings.host,
                port=settings.port,
                root_path=settings.root_path,
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=settings.ssl_keyfile,
                log_level=settings.log_level,
                timeout_graceful_shutdown=settings.drain_timeout_seconds,
                server_header=False,
            )
        )
        # `ready` says what uvicorn would say about its start.
        logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger("uvicorn.error").level))
        self._settings = settings
        self._ready = ready
        self._examining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(self._url())
            self._examining = asyncio.create_task(self._examine_sandbox())

    async def _examine_sandbox(self) -> None:
        """Before a request waits for it, and so that the operator sees it."""
        _logger.info(await self._app.state.server.pool.sandbox.describe())

    def _url(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if self._settings.ssl_certfile else "http"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{port}/v1"
