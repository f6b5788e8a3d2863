"""POST /v1/verify: any verifier, on texts from anywhere."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from deliberate.search.templating import template_messages
from deliberate.server.lifetime import while_connected
from deliberate.server.replies import VerdictList, VerdictReply
from deliberate.server.requests import VerifyRequest
from deliberate.server.state import Server, server_of
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Verdict

router = APIRouter(tags=["verify"])


@router.post("/v1/verify")
async def verify(body: VerifyRequest, request: Request, server: Annotated[Server, Depends(server_of)]) -> VerdictList:
    """Judge candidates; one that could not be judged has score null and a status that is not `ok`."""
    model = server.pool.find_or_first(body.model)
    server.admission.check_width(len(body.candidates), "candidates")
    verifier = build_guarded(body.verifier, server.pool.resources(model))
    messages = template_messages([message.wire() for message in body.messages])
    engine = model.engine
    takes_ids = engine.capabilities.token_ids
    prompt_ids = await asyncio.to_thread(engine.tokenizer.apply_chat_template, messages) if takes_ids else ()
    problem = Problem(messages, tuple(prompt_ids))
    candidates = [Candidate(text) for text in body.candidates]
    with server.admission.slots(len(candidates)):
        verdicts = await while_connected(request.receive, verifier.verify(problem, candidates))
    data = [_reply(index, verdict) for index, verdict in enumerate(verdicts)]
    return VerdictList(verifier=body.verifier.describe(), data=data)


def _reply(index: int, verdict: Verdict) -> VerdictReply:
    return VerdictReply(
        index=index,
        score=verdict.score,
        passed=verdict.passed,
        status=verdict.status,
        reason=verdict.reason,
        steps=list(verdict.steps),
    )
