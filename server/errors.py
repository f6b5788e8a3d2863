"""The one boundary where exceptions become answers in OpenAI's error shape.

    InvalidRequest        400, or 404 for an unknown model or deliberation
    Unauthorized          401
    HTTPException         404 unknown address, 405 wrong method
    BodyTooLarge          413
    Overloaded            503 with Retry-After
    EngineStopped         503
    UpstreamFailed        502
    DeadlineExceeded      504
    SearchFailed          500
    anything else         500, logged, without internals

Where a retry would repeat a search that was paid for, `x-should-retry: false` asks clients not to.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deliberate.engines.errors import (
    DeliberateError,
    EngineStopped,
    InvalidRequest,
    Overloaded,
    SearchFailed,
    UpstreamFailed,
)
from deliberate.server.replies import ErrorBody, ErrorReply
from deliberate.server.validation import explain

logger = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""For the log: nobody reads this answer."""

_NO_RETRY = {"x-should-retry": "false"}


def began_anew(index: int) -> UpstreamFailed:
    """What was streamed cannot be taken back."""
    return UpstreamFailed(f"Choice {index} broke off upstream after its beginning was sent. Send the request again.")


class Unauthorized(DeliberateError):
    """The API key is missing or wrong."""


class BodyTooLarge(DeliberateError):
    """The request's body exceeds the limit."""


class DeadlineExceeded(DeliberateError):
    """The request took longer than the server allows."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as the caller sees it."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def body(self) -> ErrorReply:
        return ErrorReply(
            error=ErrorBody(message=self.message, type=self.type, param=self.param, code=self.code),
        )

    def response(self) -> Response:
        return JSONResponse(self.body.model_dump(), self.status, self.headers)


def failure_of(error: BaseException) -> Failure:
    """What the caller is told; unknown errors are logged here and described nowhere else."""
    match error:
        case BaseExceptionGroup(exceptions=[only]):
            return failure_of(only)
        case RequestValidationError():
            return _invalid(explain(error))
        case InvalidRequest():
            return _invalid(error)
        case HTTPException():
            return _http(error)
        case DeliberateError() if type(error) in _STATUS:
            return _domain(error)
        case _:
            logger.error("Unexpected error", exc_info=error)
            message = "The server made a mistake; its log tells more."
            return Failure(500, message, "server_error", code="internal_error", headers=_NO_RETRY)


_STATUS: dict[type[DeliberateError], tuple[int, str, str, dict[str, str]]] = {
    Unauthorized: (401, "invalid_request_error", "invalid_api_key", {"www-authenticate": "Bearer"}),
    BodyTooLarge: (413, "invalid_request_error", "request_too_large", {}),
    Overloaded: (503, "overloaded_error", "overloaded", {}),
    EngineStopped: (503, "server_error", "engine_stopped", {}),
    UpstreamFailed: (502, "server_error", "upstream_failed", {}),
    DeadlineExceeded: (504, "server_error", "timeout", _NO_RETRY),
    SearchFailed: (500, "server_error", "search_failed", _NO_RETRY),
}
"""Status, type, code and headers of the domain errors that are not the request's fault."""


def _domain(error: DeliberateError) -> Failure:
    status, kind, code, headers = _STATUS[type(error)]
    if isinstance(error, Overloaded):
        headers = {"retry-after": str(error.retry_after)}
    return Failure(status, str(error), kind, code=code, headers=headers)


_NOT_FOUND = ("model_not_found", "deliberation_not_found")


def _invalid(error: InvalidRequest) -> Failure:
    status = 404 if error.code in _NOT_FOUND else 400
    return Failure(status, str(error), "invalid_request_error", error.param, error.code)


def _http(error: HTTPException) -> Failure:
    detail = {
        404: "There is nothing at this address; /docs lists what there is.",
        405: "This address does not take this method; /docs lists what it takes.",
    }.get(error.status_code, error.detail or HTTPStatus(error.status_code).phrase)
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    return Failure(error.status_code, detail, kind, headers=dict(error.headers or {}))


async def reply_with_error(request: object, error: Exception) -> Response:
    """FastAPI's exception handler for the errors it would otherwise answer itself."""
    return failure_of(error).response()


class Boundary:
    """ASGI middleware that answers every exception which comes this far."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            if not started:
                await Response(status_code=CLIENT_CLOSED_REQUEST)(scope, receive, send)
        except asyncio.CancelledError:
            # The server stops and has waited for long enough.
            if not started:
                await failure_of(EngineStopped("The server is shutting down.")).response()(scope, receive, send)
            raise
        except Exception as error:
            if started:
                raise
            await failure_of(error).response()(scope, receive, send)


async def guarded(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """A stream that ends with an error event where it would have raised: its headers are already sent."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except Exception as error:  # noqa: BLE001 - the boundary
        yield json.dumps(failure_of(error).body.model_dump())
