"""POST /v1/verify: any verifier, on texts from anywhere."""

import asyncio
from dataclasses import replace
from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from deliberate.server.lifetime import ended_within, while_connected
from deliberate.server.metrics import MeasuredVerifier, Meter
from deliberate.server.replies import VerdictGroup, VerdictGroups, VerdictList
from deliberate.server.state import Server, server_of
from deliberate.server.verify_requests import VerifyRequest
from deliberate.server.verifying import Judgement, judge_all, prepare_judgement, usage_of, verdict_replies

router = APIRouter(tags=["verify"])


@router.post("/v1/verify")
async def verify(
    body: VerifyRequest, request: Request, server: Annotated[Server, Depends(server_of)]
) -> VerdictList | VerdictGroups:
    """Judge answers to one problem, or with `items` to many at once.

    One that could not be judged has score null and a status that is not `ok`. A verifier that cannot be built refuses
    the whole request, before anything is judged.
    """
    judgements, meter = await asyncio.to_thread(_prepare, server, body, perf_counter())
    width = sum(len(judgement.candidates) for judgement in judgements)
    with server.admission.slots(width):
        work = ended_within(server.settings.request_timeout_seconds, judge_all(judgements))
        verdicts = await while_connected(request.receive, work)
    usage = usage_of(verdicts, meter.seconds)
    if body.items is None:
        return VerdictList(verifier=judgements[0].config.describe(), data=verdict_replies(verdicts[0]), usage=usage)
    groups = [
        VerdictGroup(
            index=index, id=judgement.item.id, verifier=judgement.config.describe(), verdicts=verdict_replies(row)
        )
        for index, (judgement, row) in enumerate(zip(judgements, verdicts, strict=True))
    ]
    return VerdictGroups(data=groups, usage=usage)


def _prepare(server: Server, body: VerifyRequest, arrived: float) -> tuple[list[Judgement], Meter]:
    """Raises InvalidRequest for what the caller must change."""
    model = server.pool.find_or_first(body.model)
    items, many = body.all_items, body.items is not None
    server.admission.check_width(sum(len(item.candidates) for item in items), "items" if many else "candidates")
    resources = server.pool.resources(model)
    meter = Meter(server.metrics, model.name, arrived)
    places = [f"items[{index}]" if many else "" for index in range(len(items))]
    ready = [prepare_judgement(item, resources, place) for item, place in zip(items, places, strict=True)]
    return [replace(one, verifier=MeasuredVerifier(one.verifier, one.config.kind, meter)) for one in ready], meter
