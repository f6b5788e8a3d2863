"""GET /health, /metrics, /version."""

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from deliberate.server.replies import Health, Version
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health(server: Annotated[Server, Depends(server_of)]) -> Health:
    """200 while every engine serves, else 503. Needs no key."""
    server.pool.check_alive()
    return Health()


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(server: Annotated[Server, Depends(server_of)]) -> Response:
    """Prometheus metrics."""
    return Response(server.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def show_version() -> Version:
    """What runs."""
    return Version(version=version("deliberate"))
