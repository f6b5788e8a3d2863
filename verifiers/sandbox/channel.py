"""The socket by which the host and the driver in an interpreter talk, one line after the other."""

import asyncio
import os
from collections.abc import Callable

from deliberate.verifiers.sandbox.protocol import MIB
from deliberate.verifiers.sandbox.streams import Capture, Feed

_LARGEST_MESSAGE = 8 * MIB
"""Also of all lines together that nobody has read yet."""


class Channel:
    """The host's end of it."""

    def __init__(self, socket: int, above: Callable[[], None]) -> None:
        """Owns the socket. `above` is called when the driver says more than anybody may."""
        loop = asyncio.get_running_loop()
        self._questions = Feed(loop, os.dup(socket))
        self._answers = Capture(loop, socket, _LARGEST_MESSAGE, above)

    def send(self, *lines: bytes) -> None:
        """Lines to the driver; they must hold no line breaks."""
        self._questions.write(b"".join([line + b"\n" for line in lines]))

    async def line(self) -> bytes:
        """The driver's next line; empty when there will be no more."""
        return await self._answers.line()

    def close(self) -> None:
        """Send no more, and read no more than what is there."""
        self._answers.close()
        self._questions.close()
