"""Server-sent events, line by line."""

from collections.abc import AsyncGenerator, AsyncIterable

from deliberate.engines.openai.failures import unreadable

DONE = b"[DONE]"
_LONGEST_LINE = 1 << 24
"""Bytes; a server that sends more without a line's end sends no events."""


async def events(address: str, chunks: AsyncIterable[bytes]) -> AsyncGenerator[list[bytes], None]:
    """The data of the events that each chunk completes, up to `[DONE]` or the stream's end.

    Raises Broken for a line that never ends.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise unreadable(address, rest)
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        if DONE in data:
            yield data[: data.index(DONE)]
            return
        if data:
            yield data
