"""One server: its connections, what it is asked at the moment, and whether it answers."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from threading import Event
from typing import Any, cast
from weakref import WeakKeyDictionary

import httpx
from pydantic import ValidationError

from deliberate.engines.errors import DeliberateError, UpstreamFailed
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.failures import Broken, refusal, unreadable
from deliberate.engines.openai.models import ModelList
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.openai.slots import Slots
from deliberate.engines.openai.wire import events

CONNECT_SECONDS = 5.0
_KEEPALIVE_SECONDS = 3.0
"""Shorter than uvicorn's 5 s, so that a server does not close a connection in the moment in which it is reused."""


@dataclass(frozen=True, slots=True)
class _Connection:
    """What belongs to one event loop."""

    client: httpx.AsyncClient
    slots: Slots


class Upstream:
    """Asked from any event loop; watched from a thread of its own (`health`)."""

    def __init__(self, address: Address, options: UpstreamOptions, tls: ssl.SSLContext, *, healthy: bool) -> None:
        self.address = address
        self.healthy = healthy
        """False while it is ejected: it gets no work until a probe succeeds."""
        self.suspected = Event()
        """Set when a request could not reach it, which wakes its probe."""
        self.in_flight = 0
        """Samples asked of it that have not ended, waiting ones included."""
        self._options = options
        self._tls = tls
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connection] = WeakKeyDictionary()

    @property
    def slots(self) -> Slots:
        """Its places for samples."""
        return self._connection().slots

    async def stream(self, url: str, body: Mapping[str, Any]) -> AsyncGenerator[list[bytes], None]:
        """Data of the events that it answers, in the batches in which they come.

        Raises Broken when another attempt may help, otherwise a DeliberateError. Closing ends the request.
        """
        try:
            async with self._connection().client.stream("POST", url, json=body) as response:
                if not response.is_success:
                    raise await self._refusal(response, body)
                async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as chunks:
                    if not response.headers.get("content-type", "").startswith("text/event-stream"):
                        raise unreadable(url, await anext(chunks, b""))
                    async with aclosing(events(url, chunks)) as batches:
                        async for batch in batches:
                            yield batch
        except httpx.HTTPError as error:
            raise self._broken(url, error) from error

    async def post(self, url: str, body: Mapping[str, Any]) -> bytes:
        """The whole answer. Raises what `stream` raises."""
        try:
            response = await self._connection().client.post(url, json=body)
        except httpx.HTTPError as error:
            raise self._broken(url, error) from error
        if not response.is_success:
            raise await self._refusal(response, body)
        return response.content

    async def close(self) -> None:
        """Break this event loop's connections."""
        if connection := self._connections.pop(asyncio.get_running_loop(), None):
            await connection.client.aclose()

    def _connection(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            client = httpx.AsyncClient(
                http2=True,
                verify=self._tls,
                headers=bearer(self._options),
                timeout=httpx.Timeout(self._options.timeout_seconds, connect=CONNECT_SECONDS, pool=None),
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEPALIVE_SECONDS),
            )
            self._connections[loop] = _Connection(client, Slots(self._options.concurrency))
        return self._connections[loop]

    def _broken(self, url: str, error: httpx.HTTPError) -> Broken:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            self.healthy = False
            self.suspected.set()
            return Broken(f"{self.address} cannot be reached: {error or type(error).__name__}.")
        if isinstance(error, httpx.TimeoutException):
            return Broken(f"{url} was silent for {self._options.timeout_seconds:g} s.")
        return Broken(f"{url} broke off its answer: {error or type(error).__name__}.")

    async def _refusal(self, response: httpx.Response, body: Mapping[str, Any]) -> Broken | DeliberateError:
        told = await response.aread()
        if response.status_code == 404 and (served := await self._models()):
            return UpstreamFailed(f"{self.address} does not serve {body['model']!r}; it has {', '.join(served)}.")
        return refusal(str(response.url), response.status_code, told, response.headers.get("retry-after"))

    async def _models(self) -> list[str]:
        """Names that it serves; none where it does not say."""
        try:
            response = await self._connection().client.get(self.address.models)
            return ModelList.model_validate_json(response.content).names
        except (httpx.HTTPError, ValidationError):
            return []


def bearer(options: UpstreamOptions) -> dict[str, str]:
    """Headers that carry the key."""
    return {} if options.api_key is None else {"authorization": f"Bearer {options.api_key}"}
