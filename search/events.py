"""What a search says while it runs. Streaming, usage, metrics, the trace and the reply are readings of this one log.

Searches over whole answers say Sampled, Cancelled, Failed and Scored of candidates. Searches over steps say Expanded,
Cancelled, Failed, Scored and Pruned of steps, which form a tree, and Completed of those that end a whole candidate.
"""

from dataclasses import dataclass

from deliberate.engines.protocol import Delta, Sample
from deliberate.search.budget import Limit
from deliberate.verifiers.protocol import Verdict

PROMPT = -1
"""The parent of first steps."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. `index` numbers a request's candidates, or its steps, from 0 in the order they start."""

    @property
    def spent(self) -> int:
        """Tokens that were generated for it and that no other event counts: the usage is their sum over the log."""
        return 0


@dataclass(frozen=True, slots=True)
class Streamed(Event):
    """New tokens of a candidate that is certain to be part of the answer."""

    index: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class Sampled(Event):
    """A candidate is complete."""

    index: int
    sample: Sample
    seen: tuple[int, ...] = ()
    """Earlier candidates that it was shown, to improve on them."""

    @property
    def spent(self) -> int:
        return self.sample.tokens


@dataclass(frozen=True, slots=True)
class Expanded(Event):
    """A chain grew by a step."""

    index: int
    parent: int
    """The step it follows, or PROMPT."""
    step: Sample
    """The step alone. Its token ids hold the separator that ended it, its text does not."""
    action: str = ""
    """What kind of step it is, where the strategy has several."""

    @property
    def spent(self) -> int:
        return self.step.tokens


@dataclass(frozen=True, slots=True)
class LookedAhead(Event):
    """How a chain might go on, written to judge it by and then dropped."""

    index: int
    """The step at the end of the chain."""
    sample: Sample

    @property
    def spent(self) -> int:
        return self.sample.tokens


@dataclass(frozen=True, slots=True)
class Retraced(Event):
    """A model, perhaps another, was given a beginning of a candidate and finished it, to see whether it ends alike."""

    index: int
    """The candidate."""
    sample: Sample
    """What follows the beginning."""
    agrees: bool | None
    """Whether it gives the candidate's answer; None where it did not come to one."""

    @property
    def spent(self) -> int:
        return self.sample.tokens


@dataclass(frozen=True, slots=True)
class Completed(Event):
    """The chain that ends with this step is a whole candidate."""

    index: int
    sample: Sample
    """The whole chain; its tokens are counted by its steps."""


@dataclass(frozen=True, slots=True)
class Pruned(Event):
    """A chain is not followed any further."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Visited(Event):
    """What a tree search thinks of a step by now."""

    index: int
    visits: int
    value: float
    """Mean over the visits, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    """A candidate or step was stopped before its end, because the search no longer needs it."""

    index: int
    tokens: int
    """How many it had."""
    parent: int | None = None
    """Of steps: what it would have followed, a step or PROMPT."""

    @property
    def spent(self) -> int:
        return self.tokens


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A candidate or step came to nothing; the search goes on without it."""

    index: int
    tokens: int
    detail: str
    parent: int | None = None
    """Of steps: what it would have followed, a step or PROMPT."""

    @property
    def spent(self) -> int:
        return self.tokens


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """A verifier's word on a candidate, or on the chain that ends with a step."""

    index: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of the reply."""

    index: int
    """The candidate that speaks for the answer."""
    weight: float
    """What ranked it: votes, summed scores, or a score."""


@dataclass(frozen=True, slots=True)
class Chosen(Event):
    """The end of every search: the answers, best first, all different unless the strategy only samples."""

    choices: tuple[Choice, ...]
    reason: str
    """Why the search ended here, in a sentence."""
    fallback: str | None = None
    """Set when the strategy could not do what it was asked to and chose in another way; says why."""
    limit: Limit | None = None
    """The limit of the budget that ended the search, where one did."""


@dataclass(frozen=True, slots=True)
class Asked(Event):
    """Before the search, a prompt transform asked the model something; `index` counts these questions from 0."""

    index: int
    sample: Sample
    """The answer, which is no candidate."""

    @property
    def spent(self) -> int:
        return self.sample.tokens


@dataclass(frozen=True, slots=True)
class Prompted(Event):
    """What was asked made the prompt that all candidates continue."""

    tokens: int
    """Its length; 0 where only the engine can tell."""
