"""Interpreters that run a driver for one program each, as verifiers see them."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from deliberate.verifiers.sandbox.protocol import Limits, Outcome


class PythonChild(Protocol):
    """An interpreter at work, as seen from outside."""

    def send_messages(self, *lines: bytes) -> None:
        """Lines to the driver; they must hold no line breaks."""
        ...

    async def message(self) -> bytes:
        """The driver's next line; empty when the child has ended."""
        ...

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        ...

    def close_input(self) -> None:
        """Let its standard input end after what was sent."""
        ...

    async def outcome(self) -> Outcome:
        """Wait for its end. Raises SandboxUnavailable when the box was lost."""
        ...


class PythonChildren(Protocol):
    """Where they come from."""

    def child(self, limits: Limits, stdio: bool = True) -> AbstractAsyncContextManager[PythonChild]:
        """A fresh child; leaving the context ends it. Without `stdio` its standard input and output may lead nowhere,
        which saves time. Raises SandboxUnavailable."""
        ...

    async def close(self) -> None:
        """End all that is idle."""
        ...
