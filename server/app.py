"""Puts the server together from settings and ready models."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from deliberate.server.errors import Boundary, reply_with_error
from deliberate.server.middleware import REQUEST_ID, ApiKey, BodyLimit, RequestId
from deliberate.server.replies import ErrorReply
from deliberate.server.routes import chat, completions, deliberations, models, operations, tokens, verify
from deliberate.server.schema import install_schema
from deliberate.server.selection import HEADER
from deliberate.server.serving import Pool, ServedModel
from deliberate.server.settings import Settings
from deliberate.server.state import Server
from deliberate.server.verifier_settings import default_verifier
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorReply, "description": "The request must change; the message says how."},
    "5XX": {"model": ErrorReply, "description": "Overloaded (503 with Retry-After), stopped or failed."},
}


def create_app(settings: Settings, served: Sequence[ServedModel]) -> FastAPI:
    """The server for these models, which it closes when it ends.

    Raises InvalidRequest when the configured strategies or verifier cannot run.
    """
    ready = [replace(model, default_verifier=default_verifier(settings, model)) for model in served]
    pool = Pool(
        ready,
        WorkerPool(),
        Sandbox(settings.sandbox),
        verifier_seconds=settings.verifier_timeout_seconds,
        browsers=BrowserPool(
            settings.browsers, contained=not settings.browser_unsafe, node_modules=settings.node_modules
        ),
    )
    server = Server.of(settings, pool)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        yield
        await pool.close()

    app = FastAPI(
        title="Deliberate",
        version=version("deliberate"),
        description="An OpenAI-compatible server that spends compute at inference time to answer better.",
        lifespan=lifespan,
        responses=_ERRORS,
        middleware=_middleware(settings),
        exception_handlers={HTTPException: reply_with_error, RequestValidationError: reply_with_error},
    )
    app.state.server = server
    for routes in (chat, completions, deliberations, models, verify, tokens, operations):
        app.include_router(routes.router)
    install_schema(app)
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[HEADER, REQUEST_ID, "Retry-After"],
    )
    return [
        Middleware(RequestId),
        *([cors] if settings.cors_origins else []),
        Middleware(Boundary),
        Middleware(ApiKey, keys=settings.api_keys),
        Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
    ]
