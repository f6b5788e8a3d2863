"""What happens to every request before its route: an id, the key, the size of its body."""

import secrets
import uuid
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deliberate.server.errors import BodyTooLarge, Unauthorized

REQUEST_ID = "x-request-id"
PUBLIC_PATHS = frozenset({"/health", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
"""Need no key: they say nothing about models or traffic."""

_MAX_ID_LENGTH = 128
_DISCARD_FACTOR = 16
"""Clients read an answer only after they sent their body, so this many times the limit is read and thrown away."""


class RequestId:
    """Echoes `x-request-id`, or makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        usable = given.isascii() and given.isprintable() and 0 < len(given) <= _MAX_ID_LENGTH
        request_id = given if usable else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class ApiKey:
    """Lets only callers pass who know a key, sent as `Authorization: Bearer KEY` or without the word."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and _address(scope) not in PUBLIC_PATHS:
            scope.setdefault("state", {})["caller"] = self._number_of(Headers(scope=scope).get("authorization", ""))
        await self._app(scope, receive, send)

    def _number_of(self, header: str) -> int:
        """Which key it is."""
        scheme, _, rest = header.partition(" ")
        sent = rest.strip() if scheme.lower() == "bearer" else header.strip()
        if not sent:
            raise Unauthorized("No API key was sent; send it as 'Authorization: Bearer KEY'.")
        known = [number for number, key in enumerate(self._keys) if secrets.compare_digest(sent.encode(), key)]
        if not known:
            raise Unauthorized("The API key is not known here.")
        return known[0]


def _address(scope: Scope) -> str:
    """The path as routes know it: without the part that a proxy added."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class BodyLimit:
    """Reads the whole body before anything parses it, and refuses it when it is too large."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._waits_for_permission_to_exceed(Headers(scope=scope)):
            raise self._too_large()
        body: bytes | None = await self._read(receive)

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message: Message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        await self._app(scope, replay, send)

    def _waits_for_permission_to_exceed(self, headers: Headers) -> bool:
        waits = headers.get("expect", "").lower() == "100-continue"
        return waits and int(headers.get("content-length", 0)) > self._max_bytes

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more and size <= _DISCARD_FACTOR * self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part: bytes = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size <= self._max_bytes:
                parts.append(part)
        if size > self._max_bytes:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than the {self._max_bytes} bytes that this server reads.")
