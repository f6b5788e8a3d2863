"""Gets answers out of a fleet, whatever breaks on the way: each call is made anew a bounded number of times."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deliberate.engines.errors import DeliberateError, Overloaded, UpstreamFailed
from deliberate.engines.merging import merged
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.calls import Call
from deliberate.engines.openai.failures import Broken, streamed_error, unreadable
from deliberate.engines.openai.fleet import Fleet, Lease
from deliberate.engines.openai.retry import ATTEMPTS, back_off
from deliberate.engines.openai.routing import Path
from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.protocol import Delta

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asking:
    """One `generate`."""

    fleet: Fleet
    model: str
    lost: dict[int, DeliberateError] = field(default_factory=dict[int, DeliberateError])
    """Samples that no attempt brought to an end, and why."""

    async def deltas(self, call: Call, attempt: int = 1) -> AsyncGenerator[Delta, None]:
        """Of the call's samples, over as many attempts as it takes.

        Raises Overloaded where no upstream is up at the first attempt, InvalidRequest and UpstreamFailed for what
        would happen at every attempt, EngineStopped when the fleet is closed.
        """
        try:
            async with aclosing(_attempt(self.fleet, self.model, call)) as answer:
                async for delta in answer:
                    yield delta
            return
        except Overloaded as error:
            if attempt == 1:
                raise
            failure, retry_after = error, None
        except Broken as error:
            failure, retry_after = self.fleet.failure or UpstreamFailed(str(error)), error.retry_after
        self.fleet.require_open()
        if attempt == ATTEMPTS:
            self.lost.update(dict.fromkeys(call.unfinished, failure))
            return
        await back_off(attempt, retry_after)
        parts = [self.deltas(part, attempt + 1) for part in await call.remaining()]
        async with aclosing(merged(parts)) as answers:
            async for delta in answers:
                yield delta


async def answer(
    fleet: Fleet, path: Path, where: Callable[[Address], str], body: Mapping[str, Any], form: type[T]
) -> T:
    """The whole answer to a request that counts as one sample. Raises what `deltas` raises, and UpstreamFailed."""
    tried: set[Upstream] = set()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with fleet.lease(path, 1, tried) as lease:
                tried.add(lease.upstream)
                url = where(lease.upstream.address)
                return _parse(form, url, await lease.upstream.post(url, body))
        except Broken as error:
            fleet.require_open()
            if attempt == ATTEMPTS:
                raise fleet.failure or UpstreamFailed(str(error)) from error
            await back_off(attempt, error.retry_after)
    raise AssertionError("the last attempt returns or raises")


async def _attempt(fleet: Fleet, model: str, call: Call) -> AsyncGenerator[Delta, None]:
    """What one upstream answers. Raises Broken when samples are left over."""
    async with fleet.lease(call.path, len(call.unfinished), call.tried) as lease:
        call.tried.add(lease.upstream)
        url = call.url(lease.upstream.address)
        broken = Broken(f"{url} ended its stream in the middle of an answer.")
        try:
            async with aclosing(_events(lease, url, {"model": model, **call.body()}, call)) as events:
                async for data in events:
                    for delta in await _read(call, url, data):
                        yield lease.passes(delta)
        except Broken as error:
            broken = error
        for delta in await call.end():
            yield lease.passes(delta)
        if call.unfinished:
            raise broken


async def _events(lease: Lease, url: str, body: Mapping[str, Any], call: Call) -> AsyncGenerator[bytes, None]:
    """Data of the events, until the call knows all that it needs."""
    began = False
    try:
        async with aclosing(lease.upstream.stream(url, body)) as batches:
            async for batch in batches:
                began = True
                complete = not call.unfinished
                for data in batch:
                    yield data
                # After the last sample's end its cost may follow, in the next batch at the latest.
                if complete or (call.usage is not None and not call.unfinished):
                    return
    finally:
        if began:
            lease.counters.read(call.usage, call.prompt_tokens)


async def _read(call: Call, url: str, data: bytes) -> Sequence[Delta]:
    try:
        return await call.read(data)
    except ValueError:
        raise streamed_error(url, data) or unreadable(url, data) from None


def _parse(form: type[T], url: str, content: bytes) -> T:
    try:
        return form.model_validate_json(content)
    except ValidationError:
        raise unreadable(url, content) from None
