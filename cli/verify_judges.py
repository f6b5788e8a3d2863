"""Who judges the lines of a file: the verifiers of this library, or a running server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from deliberate.cli.sources import connected, refusal, unreachable
from deliberate.cli.verify_lines import ItemId, Line
from deliberate.engines.errors import InvalidRequest
from deliberate.server.loading import load_companion, load_model
from deliberate.server.serving import Pool, RewardModel, Scorer
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model
from deliberate.server.verifying import Judgement, prepare_judgement, verdict_replies
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

Verdicts = list[dict[str, Any]]
Judge = Callable[[Line], Awaitable[Verdicts]]
"""The verdicts on one problem's answers, as `/v1/verify` writes them, without attachments."""

_BUSY = (429, 503)
_PATIENCE = 60
"""Times that a busy server is asked again."""


@asynccontextmanager
async def judged_here(
    lines: Sequence[Line], model: str | None, verifier_model: str | None
) -> AsyncGenerator[Judge, None]:
    """Load the models that were named, and check all lines. Raises InvalidRequest naming the lines that are wrong."""
    async with _resources(model, verifier_model) as resources:
        judgements = await asyncio.to_thread(_prepared, lines, resources)

        async def judge(line: Line) -> Verdicts:
            verdicts = await judgements[line.id].verdicts()
            return _kept(reply.model_dump() for reply in verdict_replies(verdicts))

        yield judge


def _prepared(lines: Sequence[Line], resources: Resources) -> Mapping[ItemId, Judgement]:
    ready: dict[ItemId, Judgement] = {}
    for line in lines:
        try:
            ready[line.id] = prepare_judgement(line.item, resources)
        except InvalidRequest as error:
            hint = "" if resources.engines else " Models are given with --model and --verifier-model."
            raise InvalidRequest(f"{line.place}: {error}{hint}", param=error.param) from error
    return ready


@asynccontextmanager
async def _resources(model: str | None, verifier_model: str | None) -> AsyncGenerator[Resources, None]:
    settings = Settings()
    workers, sandbox = WorkerPool(), Sandbox(settings.sandbox)
    contained = not settings.browser_unsafe
    browsers = BrowserPool(settings.browsers, contained=contained, node_modules=settings.node_modules)
    if model is not None:
        loaded = load_model(find_model(model, companion=verifier_model))
        pool = Pool([loaded], workers, sandbox, browsers=browsers, verifier_seconds=settings.verifier_timeout_seconds)
        try:
            yield pool.resources(loaded)
        finally:
            await pool.close()
        return
    lent = Resources(
        workers, {}, sandbox=sandbox, browsers=browsers, verifier_seconds=settings.verifier_timeout_seconds
    )
    companion = None if verifier_model is None else load_companion(find_model(verifier_model).path)
    try:
        yield _with_companion(lent, companion)
    finally:
        if companion is not None:
            await (companion.engine if isinstance(companion, Scorer) else companion.scorer).close()
        await sandbox.close()
        await asyncio.to_thread(browsers.close)
        workers.close()


def _with_companion(lent: Resources, companion: Scorer | RewardModel | None) -> Resources:
    if companion is None:
        return lent
    formats = {} if companion.format is None else {companion.name: companion.format}
    if isinstance(companion, Scorer):
        readers = {} if companion.reader is None else {companion.name: companion.reader}
        engines = {companion.name: companion.engine}
        return replace(lent, engines=engines, scorer=companion.name, formats=formats, readers=readers)
    return replace(lent, scorers={companion.name: companion.scorer}, reward_model=companion.name, formats=formats)


@asynccontextmanager
async def judged_by_server(base_url: str, api_key: str, model: str | None) -> AsyncGenerator[Judge, None]:
    """Ask a running server, which may be busy."""
    async with connected(base_url, api_key) as client:
        yield _Remote(client, base_url, model).judge


@dataclass(frozen=True, slots=True)
class _Remote:
    client: httpx.AsyncClient
    base_url: str
    model: str | None

    async def judge(self, line: Line) -> Verdicts:
        body = {name: value for name, value in line.fields.items() if name != "id"}
        if self.model is not None:
            body["model"] = self.model
        reply = await self._asked(body)
        if not reply.is_success:
            raise InvalidRequest(f"{line.place}: the server says: {refusal(reply.content)}")
        return _kept(reply.json()["data"])

    async def _asked(self, body: Mapping[str, Any]) -> httpx.Response:
        for waited in range(_PATIENCE + 1):
            try:
                reply = await self.client.post("verify", json=body)
            except httpx.HTTPError as error:
                raise unreachable(self.base_url, error) from error
            if reply.status_code not in _BUSY or waited == _PATIENCE:
                return reply
            await asyncio.sleep(_seconds(reply.headers.get("retry-after", "")))
        raise AssertionError("the last answer was returned")


def _seconds(header: str) -> float:
    return min(60.0, float(header)) if header.isdecimal() else 1.0


def _kept(verdicts: Iterable[dict[str, Any]]) -> Verdicts:
    """Without pictures, which would be most of the file."""
    return [{name: value for name, value in verdict.items() if name != "attachments"} for verdict in verdicts]
