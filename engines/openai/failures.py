"""What goes wrong with an upstream, sorted by who can mend it."""

from typing import Any

from pydantic_core import from_json

from deliberate.engines.errors import DeliberateError, InvalidRequest, UpstreamFailed

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed, here or on another replica."""
SHOWN = 200
"""Characters of an unreadable answer that an error message quotes."""


class Broken(Exception):
    """One attempt failed for a reason of the upstream; another may succeed. The message names the address."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the upstream asked for."""


def unreadable(address: str, data: bytes) -> Broken:
    """An answer that is not what it should be."""
    return Broken(f"{address} sent what is no answer to the request: {_beginning(data)!r}.")


def refusal(address: str, status: int, body: bytes, retry_after: str | None = None) -> Broken | DeliberateError:
    """The error for an answer whose status is not 200; 404 is for who knows the upstream's models."""
    message, code = _error_of(body)
    if status in PASSING:
        return Broken(f"{address} answered {status}: {message}", retry_after=_seconds(retry_after))
    if status in (401, 403):
        return UpstreamFailed(
            f"{address} refused the API key with {status}: {message}. Give one that it accepts: --upstream-api-key."
        )
    if status in (400, 413, 422):
        return InvalidRequest(f"{address} refused the request: {message}", code=code)
    return UpstreamFailed(f"{address} answered {status}: {message}. Is this the address of an OpenAI-compatible API?")


def streamed_error(address: str, data: bytes) -> Broken | DeliberateError | None:
    """The error that an event of a stream tells, if it tells one."""
    error = _error_object(data)
    if error is None:
        return None
    status = error.get("code")
    return refusal(address, status if isinstance(status, int) else 500, data)


def _error_of(body: bytes) -> tuple[str, str | None]:
    """Message and OpenAI error code of a body."""
    error = _error_object(body)
    if error is None:
        return _beginning(body), None
    message = str(error.get("message") or _beginning(body)).rstrip(".")
    code = error.get("code")
    if "maximum context length" in message or "longer than the maximum model length" in message:
        code = "context_length_exceeded"
    return message, code if isinstance(code, str) else None


def _error_object(body: bytes) -> dict[str, Any] | None:
    """What an OpenAI error body holds; Ollama and others send a bare string."""
    try:
        content = from_json(body)
    except ValueError:
        return None
    error = content.get("error") if isinstance(content, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else None


def _beginning(data: bytes) -> str:
    return data[: 4 * SHOWN].decode(errors="replace")[:SHOWN]


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header; dates are left to our own backoff."""
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:
        return None
