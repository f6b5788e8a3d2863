"""POST /v1/completions."""

import asyncio
from time import perf_counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from deliberate.server.completions.answers import complete, stream
from deliberate.server.completions.completion import prepare_completion
from deliberate.server.completions.replies import TextCompletion
from deliberate.server.completions.request import CompletionRequest
from deliberate.server.lifetime import while_connected
from deliberate.server.selection import HEADER
from deliberate.server.sse import EventStream
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["completions"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": TextCompletion,
        "description": "The samples; with `stream` as chunks of the same shape.",
        "content": {"text/event-stream": {"schema": {"$ref": f"#/components/schemas/{TextCompletion.__name__}"}}},
    }
}


@router.post("/v1/completions", response_model=None, responses=_RESPONSES)
async def completions(
    body: CompletionRequest,
    request: Request,
    server: Annotated[Server, Depends(server_of)],
    strategy: Annotated[
        str | None, Header(alias=HEADER, description="Only `none`: searches are for /v1/chat/completions.")
    ] = None,
) -> Response:
    """Continue texts or token ids, or score them. Sample `i` of each prompt draws with `seed + i`."""
    # In a thread: tokenizing large prompts takes seconds, in which other streams must go on.
    completion = await asyncio.to_thread(prepare_completion, server, body, strategy, perf_counter())
    if body.stream:
        return EventStream(completion, stream(completion))
    with completion.admitted():
        answer = await while_connected(request.receive, complete(completion))
    return Response(answer.model_dump_json(), media_type="application/json")
