"""What an engine is: token ids in, deltas of sampled token ids out.

Token ids go both ways, never re-encoded text, so that a search step extends its prefix exactly and the
KV prefix cache hits. Closing the generator aborts the work inside the engine.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field, FiniteFloat

Message = Mapping[str, Any]
"""One chat message in OpenAI's wire format."""


class Sampling(BaseModel, frozen=True, extra="forbid"):
    """How tokens are drawn. Sample `i` of a call draws with seed `seed + i`."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most new tokens per sample; None fills the context."""
    temperature: Annotated[FiniteFloat, Field(ge=0)] = 1.0
    """0 is greedy; otherwise logits are divided by it."""
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] = 1.0
    """Keep the smallest set of tokens whose probability reaches this (nucleus)."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    min_p: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    """Drop tokens less likely than this share of the likeliest one."""
    seed: int = 0
    """Sample `i` is a function of the request and `seed + i` alone, whatever else runs beside it."""
    stop: tuple[str, ...] = ()
    """Strings that end a sample; the text ends before them. They may span tokens."""
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end a sample, beside the model's own end-of-sequence tokens."""
    logit_bias: Mapping[int, float] = {}
    """Added to the logits of these token ids before sampling."""
    frequency_penalty: FiniteFloat = 0.0
    """Subtracted from a token's logit once for each time the sample already holds it."""
    presence_penalty: FiniteFloat = 0.0
    """Subtracted from a token's logit once if the sample already holds it."""
    top_logprobs: Annotated[int, Field(ge=0)] = 0
    """How many alternatives to report per token, likeliest first."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a sample ended."""

    reason: Literal["stop", "length", "error"]
    """`length`: `max_tokens` or the context cut it, it did not end. `error`: this one sample failed."""
    matched: str | int | None = None
    """The stop string or extra stop token that matched; None for the model's own end of sequence."""
    detail: str = ""
    """What went wrong, for `error`."""


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of one sample. Texts and ids of a sample's deltas concatenate to the whole sample."""

    index: int
    """Which of the call's n samples."""
    text: str = ""
    """May lag behind `token_ids` while a character or a possible stop string is incomplete."""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Log-probability (nats) of each token under the model itself: before temperature, bias, truncation."""
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    """Per token, the asked-for alternatives as (token id, log-probability)."""
    finish: Finish | None = None
    """Set on the sample's last delta."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what a strategy or verifier needs is checked against it before any work."""

    context_length: int
    """Prompt and new tokens together."""
    vocabulary_size: int
    scores: bool = True
    """`score` works."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since the start (`*_total`) and levels now. Tokens are counted once per forward pass over them."""

    running: int = 0
    waiting: int = 0
    prefill_tokens_total: int = 0
    """Prompt tokens that went through the model."""
    cached_tokens_total: int = 0
    """Prompt tokens whose keys and values came from the prefix cache instead."""
    generated_tokens_total: int = 0
    decode_steps_total: int = 0
    decode_sequences_total: int = 0
    """Sum over decode steps of the sequences in the batch."""
    preemptions_total: int = 0


class Tokenizer(Protocol):
    """Text to token ids and back, without hidden additions."""

    @property
    def fingerprint(self) -> str:
        """Equal for two tokenizers exactly when they give the same ids to every text."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; no begin- or end-of-sequence token is added."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the ids; special tokens are dropped."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes this one token stands for; a multi-byte character may span tokens."""
        ...

    def apply_chat_template(self, messages: Sequence[Message]) -> list[int]:
        """Prompt ids that ask for the next assistant turn. Raises InvalidRequest when the template refuses."""
        ...


class Engine(Protocol):
    """Samples from one model, and scores token sequences under it."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def stats(self) -> EngineStats: ...

    @property
    def failure(self) -> BaseException | None:
        """What killed the engine; None while it serves."""
        ...

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        """Sample n completions of one prompt, interleaved as they come.

        Raises ContextOverflow before the first delta when the prompt does not fit, EngineStopped when the
        engine dies. Closing the generator aborts what still runs.
        """
        ...

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        """Teacher-forced log p(token_t | tokens before t), in nats, for t in [start, len) of each sequence.

        Raises InvalidRequest for a start below 1, ContextOverflow for a sequence longer than the context.
        """
        ...

    async def close(self) -> None:
        """Stop serving; running generators raise EngineStopped."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished completion, folded from its deltas."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(slots=True)
class SampleBuilder:
    """Folds the deltas of one sample."""

    texts: list[str] = field(default_factory=list[str])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[tuple[tuple[int, float], ...]] = field(default_factory=list[tuple[tuple[int, float], ...]])

    def add(self, delta: Delta) -> Sample | None:
        """The sample, if this delta was its last."""
        self.texts.append(delta.text)
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.top_logprobs += delta.top_logprobs
        if delta.finish is None:
            return None
        return Sample(
            "".join(self.texts),
            tuple(self.token_ids),
            tuple(self.logprobs),
            delta.finish,
            tuple(self.top_logprobs),
        )
