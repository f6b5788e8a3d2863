"""POST /v1/chat/completions."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from deliberate.server.answers import complete
from deliberate.server.arrival import Arrival, arrival_of
from deliberate.server.chat import prepare_chat
from deliberate.server.chunks import stream
from deliberate.server.lifetime import while_connected
from deliberate.server.replies import ChatCompletion, ChatCompletionChunk
from deliberate.server.requests import ChatRequest
from deliberate.server.selection import HEADER, write_strategy
from deliberate.server.sse import EventStream
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["chat"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ChatCompletion,
        "description": "The answer; with `stream` the same as chunks, the last of which carries `deliberation`.",
        "content": {
            "text/event-stream": {"schema": {"$ref": f"#/components/schemas/{ChatCompletionChunk.__name__}"}},
        },
    }
}


@router.post("/v1/chat/completions", response_model=None, responses=_RESPONSES)
async def chat_completions(
    body: ChatRequest,
    request: Request,
    server: Annotated[Server, Depends(server_of)],
    arrival: Annotated[Arrival, Depends(arrival_of)],
) -> Response:
    """Search for an answer. The strategy: body, then header, then model suffix, then `reasoning_effort`."""
    # In a thread: tokenizing a large prompt takes seconds, in which other streams must go on.
    chat = await asyncio.to_thread(prepare_chat, server, body, arrival)
    headers = {HEADER: write_strategy(chat.strategy)}
    if body.stream:
        return EventStream(chat, stream(chat), headers)
    with chat.admitted():
        answer = await while_connected(request.receive, complete(chat))
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)
