"""GET /v1/deliberations/{id}."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from deliberate.server.arrival import caller_of
from deliberate.server.replies import DeliberationTrace
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["chat"])


@router.get("/v1/deliberations/{id}", response_model=None, responses={200: {"model": DeliberationTrace}})
async def retrieve_deliberation(
    id: str,
    server: Annotated[Server, Depends(server_of)],
    caller: Annotated[int | None, Depends(caller_of)],
) -> Response:
    """All that a search has said: the trace of a chat completion, by its `deliberation.id`. Kept for a while only."""
    trace = server.traces.find(id, caller)
    # In a thread: a large trace takes a while to write, in which streams must go on.
    body = await asyncio.to_thread(lambda: trace.reply().model_dump_json())
    return Response(body, media_type="application/json")
