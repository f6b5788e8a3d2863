"""A call: one HTTP request for some samples of one prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.routing import Path
from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.openai.usage import Usage
from deliberate.engines.protocol import Delta


class Call(Protocol):
    """Knows what to send, and turns what comes back into deltas."""

    @property
    def path(self) -> Path:
        """What its prompt shares with others."""
        ...

    @property
    def tried(self) -> set[Upstream]:
        """Upstreams where it broke."""
        ...

    @property
    def unfinished(self) -> Sequence[int]:
        """Indexes of the samples that have not ended."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What the upstream said that this request cost, once it did."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Length of the request's prompt; 0 where nobody here knows."""
        ...

    def url(self, address: Address) -> str: ...

    def body(self) -> Mapping[str, Any]:
        """Without the model's name."""
        ...

    async def read(self, data: bytes) -> Sequence[Delta]:
        """What an event tells. Raises ValueError (as pydantic's ValidationError is one) when it makes no sense."""
        ...

    async def end(self) -> Sequence[Delta]:
        """What is left to tell when the stream is over."""
        ...

    async def remaining(self) -> Sequence[Self]:
        """The requests that a broken one leaves to be made."""
        ...
