"""Where the chunks of an answer come from: a model loaded here, or a server."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError
from rich.console import Console

from deliberate.engines.errors import DeliberateError, InvalidRequest
from deliberate.search.registry import explain
from deliberate.server.arrival import Arrival
from deliberate.server.chat import prepare_chat
from deliberate.server.chunks import stream
from deliberate.server.loading import load_model
from deliberate.server.requests import ChatRequest
from deliberate.server.serving import Pool
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model
from deliberate.server.state import Server
from deliberate.server.tracing import trace_of
from deliberate.server.verifier_settings import default_verifier
from deliberate.verifiers.workers import WorkerPool

Chunk = dict[str, Any]
"""Of the stream. Where the trace is wanted, one more at the end holds nothing but `trace`, or why there is none."""


class ServerUnreachable(DeliberateError):
    """Nothing answers at the address."""


async def from_model(
    body: dict[str, Any], model: str, companion: str | None, console: Console, *, trace: bool = False
) -> AsyncGenerator[Chunk, None]:
    """Load the model and search here."""
    source = find_model(model, companion=companion)
    try:
        request = ChatRequest.model_validate(body | {"model": source.name})
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from error
    with console.status(f"Loading {source.path}"):
        loaded = load_model(source)
    settings = Settings()
    ready = replace(loaded, default_verifier=default_verifier(settings, loaded))
    pool = Pool([ready], WorkerPool(), verifier_seconds=settings.verifier_timeout_seconds)
    try:
        chat = prepare_chat(Server.of(settings, pool), request, Arrival())
        async with aclosing(stream(chat)) as chunks:
            async for chunk in chunks:
                yield json.loads(chunk)
        if trace:
            yield {"choices": [], "trace": trace_of(chat).reply().model_dump(mode="json")}
    finally:
        await pool.close()


async def from_server(
    body: dict[str, Any], base_url: str, api_key: str, *, trace: bool = False
) -> AsyncGenerator[Chunk, None]:
    """Ask a running server. Raises InvalidRequest with its message when it refuses."""
    name = ""
    async with connected(base_url, api_key) as client:
        async with client.stream("POST", "chat/completions", json=body) as reply:
            if not reply.is_success:
                raise InvalidRequest(refusal(await reply.aread()))
            async for line in reply.aiter_lines():
                if (chunk := _chunk(line)) is not None:
                    name = chunk.get("deliberation", {}).get("id", name)
                    yield chunk
        if trace:
            yield await _last_chunk(client, name)


async def _last_chunk(client: httpx.AsyncClient, name: str) -> Chunk:
    try:
        return {"choices": [], "trace": await _trace(client, name)}
    except InvalidRequest as error:
        return {"choices": [], "note": str(error)}


async def fetch_trace(name: str, base_url: str, api_key: str) -> dict[str, Any]:
    """The trace of that id. Raises InvalidRequest with the server's message when it has none."""
    async with connected(base_url, api_key) as client:
        return await _trace(client, name)


@asynccontextmanager
async def connected(base_url: str, api_key: str) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of that server. Raises ServerUnreachable."""
    headers = {"authorization": f"Bearer {api_key}"}
    timeout = httpx.Timeout(600, connect=10)
    try:
        async with httpx.AsyncClient(base_url=f"{base_url.rstrip('/')}/", headers=headers, timeout=timeout) as client:
            yield client
    except httpx.HTTPError as error:
        raise unreachable(base_url, error) from error


def unreachable(base_url: str, error: httpx.HTTPError) -> ServerUnreachable:
    """What became of a request to that server."""
    return ServerUnreachable(
        f"No answer from {base_url}: {error or type(error).__name__}. `deliberate serve` starts one."
    )


async def _trace(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    reply = await client.get(f"deliberations/{quote(name, safe='')}")
    if not reply.is_success:
        raise InvalidRequest(refusal(reply.content))
    return reply.json()


def _chunk(line: str) -> Chunk | None:
    data = line.removeprefix("data: ")
    if data == line or data == "[DONE]":
        return None
    chunk: Chunk = json.loads(data)
    if "error" in chunk:
        raise InvalidRequest(chunk["error"]["message"])
    return chunk


def refusal(body: bytes) -> str:
    """A server's error message."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]
