"""What a verifier is: a frozen config that travels in the request, built into something that judges.

A verifier that could not decide says `unavailable` or `timeout`. That is never a score of 0.
"""

from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, Field, FiniteFloat

from deliberate.engines.protocol import Engine, Message, TokenScorer
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool

STEP_SEPARATOR = "\n\n"
"""What models put between two steps of an answer, unless something else is known of them."""


class Judges(StrEnum):
    """What a verifier can say something about. Each level can do what those before it can."""

    OUTCOME = "outcome"
    """Whole candidates."""
    PARTIAL = "partial"
    """Also chains that are not finished."""
    STEPS = "steps"
    """Also each step of a chain by itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What was asked."""

    messages: tuple[Message, ...]
    """The conversation as its caller sent it, in OpenAI's wire format."""
    prompt_ids: tuple[int, ...] = ()
    """The policy's token ids that candidates continue; empty where there is no policy (texts from outside).

    Where prompt transforms changed the conversation they hold the change: a likelihood is a candidate's under what it
    was drawn from, whose form (examples, tags) would count as unlikely elsewhere, and so are its own log-probabilities
    and a ratio to the policy's."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """The tools that candidates may call, in OpenAI's wire format."""
    tool_choice: str | Mapping[str, Any] | None = None
    """Whether a tool must be called, and which, in OpenAI's wire format."""
    parallel_tool_calls: bool | None = None
    """False when no more than one call is wanted."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something to look at that a verifier made, such as a screenshot. Small: traces keep it."""

    name: str
    data_url: str = field(repr=False)
    """`data:image/jpeg;base64,…`"""

    @classmethod
    def of(cls, name: str, media_type: str, content: bytes) -> "Attachment":
        """From the bytes of a file."""
        return cls(name, f"data:{media_type};base64,{b64encode(content).decode()}")

    @property
    def media_type(self) -> str:
        """What kind of file it is, such as `image/jpeg`."""
        return self.data_url.partition(":")[2].partition(";")[0]

    @property
    def content(self) -> bytes:
        """The bytes of the file. Raises ValueError for a URL that holds none."""
        return b64decode(self.data_url.partition(";base64,")[2], validate=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one candidate."""

    score: float | None
    """Higher is better, in [0, 1]; None exactly when the status is not `ok`."""
    passed: bool | None = None
    """For verifiers that accept or reject; None for those that only grade."""
    steps: tuple[float, ...] = ()
    """A score in [0, 1] for each step, from verifiers that judge steps."""
    reason: str = ""
    """For people: what was found, or why nothing could be decided."""
    status: Literal["ok", "unavailable", "timeout"] = "ok"
    evidence: tuple[float, ...] = ()
    """For the same verifier alone: what it found and need not look for again once the chain has grown."""
    answer: str | None = None
    """What the candidate answers, where the verifier knows better than the text shows, such as the behaviour of a
    program: candidates with equal ones vote together."""
    attachments: tuple[Attachment, ...] = ()
    """What else there is to see of it."""

    @classmethod
    def decided(cls, passed: bool, reason: str = "", steps: tuple[float, ...] = ()) -> "Verdict":
        """Accepted (score 1) or rejected (score 0)."""
        return cls(float(passed), passed, steps, reason)

    @classmethod
    def undecided(cls, reason: str, status: Literal["unavailable", "timeout"] = "unavailable") -> "Verdict":
        """No judgement, and why."""
        return cls(None, None, (), reason, status)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer, or the beginning of one."""

    text: str
    token_ids: tuple[int, ...] | None = None
    """As sampled, under the policy's tokenizer; None for a text from outside."""
    logprobs: tuple[float, ...] | None = None
    """Of each token under the policy, in nats."""
    finished: bool = True
    """It ended by itself; False when it was cut by length or is still a partial chain."""
    earlier: Verdict | None = None
    """What the same verifier said of a beginning of this candidate, so that it reads only what is new."""
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    """Of each token, the likeliest ones in its place as (token id, log-probability); empty where nobody asked."""
    copies: int = 1
    """How many samples said exactly this, for all of which it stands: verifiers that count candidates count so many."""

    @property
    def evidence(self) -> tuple[float, ...]:
        """What the same verifier found already."""
        return () if self.earlier is None else self.earlier.evidence


class Verifier(Protocol):
    """Judges a batch of candidates of one problem, one verdict each, in order."""

    @property
    def judges(self) -> Judges: ...

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]: ...


class LogprobReader(Protocol):
    """What was trained beside a language model to judge chains by the log-probabilities that it gives them."""

    def read(self, logprobs: Sequence[Sequence[float]]) -> list[list[float]]:
        """Log-odds, after each token of each chain, that all is right so far; no chain is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What the server lends to verifiers; shared by all requests, changed by none."""

    workers: WorkerPool
    """Processes for work that may hang: they are killed at a time limit."""
    engines: Mapping[str, Engine]
    """Served models by name, for verifiers that ask a model."""
    policy: str | None = None
    """Name of the model that samples the candidates."""
    scorer: str | None = None
    """Name of the policy's companion model that scores it by likelihood, where it has one."""
    scorers: Mapping[str, TokenScorer] = field(default_factory=dict[str, TokenScorer])
    """Reward models by name."""
    reward_model: str | None = None
    """Name of the policy's companion among them, where it has one."""
    formats: Mapping[str, str] = field(default_factory=dict[str, str])
    """How reward models were trained to read chains, by name, where that is known; language models among them."""
    readers: Mapping[str, LogprobReader] = field(default_factory=dict[str, LogprobReader])
    """What reads the log-probabilities of a served model, by that model's name, where something was trained to."""
    step_separator: str = STEP_SEPARATOR
    """What the policy puts between two steps of an answer."""
    sandbox: Sandbox | None = None
    """Boxes for programs that nobody trusts."""
    verifier_seconds: float = 300.0
    """Longest that one call of a verifier may take."""
    browsers: BrowserPool | None = None
    """Browsers that show web pages; None where there are none to lend."""


class VerifierConfig(BaseModel, ABC, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Base of all verifier configs. `kind` is the name in requests; every other field is an option."""

    one_pass_suffices: ClassVar[bool] = False
    """A candidate that passes is as good as any other that does, so that a search may end with the first."""

    kind: str
    weight: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    """Its share when it stands in a list of verifiers; alone it changes nothing."""

    @property
    def compares(self) -> bool:
        """What it says of a candidate depends on the others: a search asks about all of them in one batch."""
        return False

    @property
    def top_logprobs(self) -> int:
        """Alternatives per token of the candidates that it reads: a search asks its engine for so many."""
        return 0

    @abstractmethod
    def build(self, resources: Resources) -> Verifier:
        """The verifier at work. Raises InvalidRequest when the resources lack what it needs."""

    def describe(self) -> dict[str, Any]:
        """The config as a request would write it, without defaults."""
        return {
            "kind": self.kind,
            **self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"kind"}),
        }
