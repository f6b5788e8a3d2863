"""When to ask again."""

import asyncio
import random

ATTEMPTS = 5
"""Per sample, the first one included."""
_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 4.0
_LONGEST_ASKED_SECONDS = 30.0
"""A Retry-After beyond this is cut: the caller waits."""


async def back_off(attempt: int, retry_after: float | None) -> None:
    """Wait after the given attempt failed: what the upstream asked for, or twice as long as before; with jitter."""
    longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** (attempt - 1))
    asked = 0.0 if retry_after is None else min(retry_after, _LONGEST_ASKED_SECONDS)
    await asyncio.sleep(asked + longest * random.uniform(0.5, 1.0))
