"""One request that is being served: admitted, measured and under its deadline, whatever it asks for."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import version

from deliberate.search.events import Event
from deliberate.search.log import Log
from deliberate.server.lifetime import within
from deliberate.server.metrics import Meter
from deliberate.server.serving import ServedModel
from deliberate.server.state import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(ABC):
    """A request that can be served: everything a caller can get wrong has been checked."""

    server: Server
    model: ServedModel
    meter: Meter
    log: Log = field(default_factory=Log)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    @abstractmethod
    def kind(self) -> str:
        """Of the strategy that runs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Slots it takes."""

    @property
    @abstractmethod
    def prompt_tokens(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Changes with what could change answers to the same seed: the program and the loaded model."""
        name = f"{version('deliberate')}/{self.model.name}/{self.model.created}"
        return "fp_" + blake2b(name.encode(), digest_size=6).hexdigest()

    @abstractmethod
    def run(self) -> AsyncGenerator[Event, None]:
        """The work itself."""

    @contextmanager
    def admitted(self) -> Generator[None]:
        """Hold this request's slots. Raises Overloaded."""
        with self.server.admission.slots(self.slots):
            self.meter.started()
            yield

    async def events(self) -> AsyncGenerator[Event, None]:
        """The work: logged, measured and under the deadline."""
        timeout = self.server.settings.request_timeout_seconds
        async with aclosing(within(timeout, self.run())) as events:
            async for event in events:
                self.log.add(event)
                self.meter.saw(event)
                yield event
        self.meter.answered(self.kind, self.slots, self.prompt_tokens, self.log)
