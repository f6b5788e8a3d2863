"""What a strategy is: a frozen config from the request, and an asynchronous generator of events."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from deliberate.engines.protocol import Engine, Prompt, Sampling
from deliberate.search.budget import Budget
from deliberate.search.events import Event
from deliberate.verifiers.protocol import STEP_SEPARATOR, Judges, Problem, Verifier, VerifierConfig


@dataclass(frozen=True, slots=True)
class Context:
    """What one search works with."""

    problem: Problem
    prompt: Prompt
    """The problem as the engine takes it."""
    engine: Engine
    sampling: Sampling
    """Of the request; candidate `i` draws with seed `sampling.seed + i`."""
    verifier: Verifier | None = None
    """Built from the strategy's verifier config; set whenever the strategy needs one."""
    choices: int = 1
    """How many answers the reply wants, OpenAI's `n`."""
    step_separator: str = STEP_SEPARATOR
    """What the model puts between two steps of an answer."""
    budget: Budget = field(default_factory=Budget)
    """What the search may spend; engines and verifier keep to it by themselves."""
    engines: Mapping[str, Engine] = field(default_factory=dict[str, Engine])
    """Those of the strategy's `models`, by name."""
    verifier_config: VerifierConfig | None = None
    """What the verifier was built from: the request's or the model's default."""


class Strategy(BaseModel, ABC, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Base of all strategies. `kind` is the name in requests; every other field is an option."""

    kind: str
    alias: ClassVar[str]
    """Short name in model suffixes and headers: `tiny:best-of-16` is alias `best-of` with width 16."""
    size_fields: ClassVar[tuple[str, ...]]
    """The options that the numbers of its short name set: width and expansions in `beam-4x4`."""
    continues: ClassVar[bool] = False
    """It extends given beginnings of answers, so the engine must take token ids."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Most candidates that run at once: the slots it takes in the server's queue."""

    @property
    def size(self) -> tuple[int, ...]:
        """The numbers of its short name: 16 of `best-of-16`."""
        return tuple(getattr(self, name) for name in self.size_fields)

    @property
    def needs(self) -> Judges | None:
        """What its verifier must be able to judge; None when it takes no verifier."""
        return None

    @property
    def verifier_config(self) -> VerifierConfig | None:
        """The verifier the request asked for; None leaves it to the server's default."""
        return None

    @property
    def models(self) -> tuple[str, ...]:
        """Served models that it asks beside the one that answers; they continue beginnings, as token ids."""
        return ()

    @classmethod
    def of_size(cls, size: tuple[int, ...], verifier: VerifierConfig | None) -> Self:
        """The strategy that a short name such as `best-of-16` stands for; numbers that are left out have defaults.

        Raises pydantic.ValidationError.
        """
        options = dict(zip(cls.size_fields, size, strict=False))
        return cls.model_validate(options | ({} if verifier is None else {"verifier": verifier}))

    @abstractmethod
    def run(self, context: Context) -> AsyncGenerator[Event, None]:
        """Search. Yields exactly one Chosen, last. Closing the generator stops all its work.

        Raises SearchFailed when no candidate came to an end, EngineStopped when the engine died.
        """

    def describe(self) -> dict[str, Any]:
        """The config as a request would write it."""
        return self.model_dump(mode="json", exclude_none=True)
