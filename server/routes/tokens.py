"""POST /tokenize, /detokenize, in vLLM's shape."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Engine
from deliberate.search.templating import template_messages
from deliberate.server.replies import DetokenizedText, Tokens
from deliberate.server.requests import DetokenizeRequest, TokenizeRequest
from deliberate.server.state import Server, server_of

router = APIRouter(tags=["tokens"])


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, server: Annotated[Server, Depends(server_of)]) -> Tokens:
    """Token ids of a text, or of a conversation in the model's chat template."""
    engine = _engine(server, body.model)
    tokenizer = engine.tokenizer
    if body.messages is not None:
        messages = template_messages([message.wire() for message in body.messages])
        tokens = await asyncio.to_thread(tokenizer.apply_chat_template, messages)
    else:
        tokens = await asyncio.to_thread(tokenizer.encode, body.prompt or "")
    return Tokens(
        count=len(tokens),
        max_model_len=engine.capabilities.context_length,
        tokens=tokens,
        token_strs=[tokenizer.token_bytes(token).decode(errors="replace") for token in tokens],
    )


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, server: Annotated[Server, Depends(server_of)]) -> DetokenizedText:
    """Text of token ids."""
    engine = _engine(server, body.model)
    size = engine.capabilities.vocabulary_size
    if size is not None and (largest := max(body.tokens, default=0)) >= size:
        raise InvalidRequest(f"tokens holds {largest}; the model has 0 to {size - 1}.", param="tokens")
    return DetokenizedText(prompt=engine.tokenizer.decode(body.tokens))


def _engine(server: Server, name: str | None) -> Engine:
    model = server.pool.find_or_first(name)
    if not model.engine.capabilities.token_ids:
        message = f"The engine of model {model.name!r} reads conversations and shows no tokens."
        raise InvalidRequest(message, param="model")
    return model.engine
