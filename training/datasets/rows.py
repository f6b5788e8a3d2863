"""What the rows of any dataset are read into: one frozen class for each thing that a row can teach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deliberate.engines.protocol import Message
from deliberate.verifiers.messages import text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt, and how an answer to it is judged."""

    id: str
    """Unique in its dataset, and the same wherever the files lie."""
    place: str = field(compare=False)
    """File and line, for messages."""
    prompt: tuple[Message, ...]
    """The conversation so far. A prompt that is plain text is one message of the user."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions that an answer may call."""
    answer: str | None = None
    """The right final answer; None where it is not known."""
    verifier: Mapping[str, Any] | None = None
    """Who judges answers, as a request would write it; None where the data does not say."""

    @property
    def question(self) -> str:
        """What the user says."""
        return "\n".join(text_of(message) for message in self.prompt if message.get("role") == "user")

    @property
    def completions(self) -> tuple[str, ...]:
        """All that the row has for an assistant to say."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRow(Row):
    """A problem, for rewards and rejection sampling; with its solution for fine-tuning."""

    solution: str | None = None
    """What the assistant should say; None where only the prompt is given."""

    @property
    def completions(self) -> tuple[str, ...]:
        return () if self.solution is None else (self.solution,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepwiseRow(Row):
    """A solution whose steps are labelled, for process reward models."""

    steps: tuple[str, ...]
    """At least one, in order."""
    labels: tuple[float | None, ...]
    """Of each step: 1 right, 0 wrong, between them the share of right continuations; None is not labelled."""

    @property
    def completions(self) -> tuple[str, ...]:
        return ("\n".join(self.steps),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow(Row):
    """Two answers of which one is better, for outcome reward models and DPO."""

    chosen: str
    rejected: str

    @property
    def completions(self) -> tuple[str, ...]:
        return (self.chosen, self.rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpairedRow(Row):
    """One answer that is good or not, for pointwise reward models and KTO."""

    completion: str
    label: bool

    @property
    def completions(self) -> tuple[str, ...]:
        return (self.completion,)


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the answers that a policy gave."""

    text: str
    score: float | None = None
    """What the verifier gave it, in [0, 1]; None where nothing was decided."""
    finished: bool = True
    """False when it was cut by length."""
    token_ids: tuple[int, ...] | None = None
    """As they were sampled."""
    logprobs: tuple[float, ...] | None = None
    """Of each token, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow(Row):
    """A group of answers to one prompt, with their scores."""

    samples: tuple[Sample, ...]

    @property
    def scored(self) -> tuple[Sample, ...]:
        """Those that somebody scored."""
        return tuple(sample for sample in self.samples if sample.score is not None)

    @property
    def completions(self) -> tuple[str, ...]:
        return tuple(sample.text for sample in self.samples)
