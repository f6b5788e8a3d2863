"""Judging candidates as they end, while others are still written, so that a search may stop at one that passes."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from deliberate.engines.merging import merged
from deliberate.search.events import Event, Sampled, Scored
from deliberate.search.ranking import Ballot, ballot
from deliberate.search.sampling import Wave
from deliberate.search.scoring import verdicts
from deliberate.search.strategy import Context
from deliberate.verifiers.protocol import Verdict


def enough_pass(cast: Iterable[Ballot], scored: Iterable[Scored], wanted: int) -> bool:
    """Whether `wanted` different answers were accepted."""
    passed = {event.index for event in scored if event.verdict.passed}
    return len({b.identity for b in cast if b.index in passed}) >= wanted


async def until_pass(context: Context, wave: Wave) -> AsyncGenerator[Event, None]:
    """A wave's events and the verdicts on candidates that ended, until enough pass; then the rest is cancelled.

    Those that end while others are judged are judged together next. A candidate cut by length is not judged here: it
    counts only where none ended.
    """
    drawn: list[Event] = []
    cast: list[Ballot] = []
    scored: list[Scored] = []
    shown = 0
    ended: asyncio.Queue[Ballot | None] = asyncio.Queue()
    async with aclosing(merged([_drawing(wave, drawn, cast, ended), _judging(context, ended)])) as events:
        async for event in events:
            yield event
            if not isinstance(event, Scored):
                shown += 1
                continue
            scored.append(event)
            if enough_pass(cast, scored, context.choices):
                break
    for event in drawn[shown:]:  # They came while the last verdict was on its way.
        yield event
    for cancelled in wave.cancelled():
        yield cancelled


async def _drawing(
    wave: Wave, drawn: list[Event], cast: list[Ballot], ended: asyncio.Queue[Ballot | None]
) -> AsyncGenerator[Event, None]:
    async with aclosing(wave.events()) as events:
        async for event in events:
            drawn.append(event)
            if isinstance(event, Sampled) and event.sample.finish.reason == "stop":
                cast.append(ballot(event))
                ended.put_nowait(cast[-1])
            yield event
    ended.put_nowait(None)


async def _judging(context: Context, ended: asyncio.Queue[Ballot | None]) -> AsyncGenerator[Event, None]:
    """Verdicts on all that is waiting, again and again; equal texts are judged once."""
    known: dict[str, Verdict] = {}
    while batch := await _waiting(ended):
        new = [b for b in batch if b.sample.text not in known]
        if new:
            async for event in verdicts(context, new):
                known |= {b.sample.text: event.verdict for b in new if b.index == event.index}
        for judged in batch:
            yield Scored(judged.index, known[judged.sample.text])


async def _waiting(ended: asyncio.Queue[Ballot | None]) -> list[Ballot]:
    """At least one, unless no more will come."""
    waiting = [await ended.get()]
    while not ended.empty():
        waiting.append(ended.get_nowait())
    if waiting[-1] is None:
        ended.put_nowait(None)
    return [b for b in waiting if b is not None]
