"""What a chat request brings beside its body."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Annotated

from fastapi import Header, Request

from deliberate.server.selection import HEADER

READ_TIMEOUT = "X-Stainless-Read-Timeout"
"""OpenAI's clients say in it how many seconds they wait for the next byte."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request came, from whom, and what its headers say."""

    at: float = field(default_factory=perf_counter)
    """By `perf_counter`."""
    strategy: str | None = None
    """The strategy to run, by the header of that name."""
    read_timeout: str | None = None
    """The client's patience in seconds, as it wrote it."""
    caller: int | None = None
    """Number of the API key that was sent; None where everybody may call."""


def arrival_of(
    request: Request,
    strategy: Annotated[
        str | None, Header(alias=HEADER, description="Like the body's `strategy`: a short name or JSON.")
    ] = None,
    read_timeout: Annotated[
        str | None,
        Header(
            alias=READ_TIMEOUT,
            description="Seconds that the client waits for a reply which is not streamed: a deadline like the body's "
            "`budget.deadline_s`, less a margin for the way back.",
        ),
    ] = None,
) -> Arrival:
    """FastAPI dependency."""
    return Arrival(strategy=strategy, read_timeout=read_timeout, caller=caller_of(request))


def caller_of(request: Request) -> int | None:
    """Which API key was sent, as the middleware found it; FastAPI dependency."""
    return request.scope["state"].get("caller")
