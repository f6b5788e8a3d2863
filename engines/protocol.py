"""What an engine is: token ids in, deltas of sampled token ids out.

Token ids go both ways, never re-encoded text, so that a search step extends its prefix exactly and the
KV prefix cache hits. Only engines behind somebody's chat API read the conversation instead; their capabilities say
so. Closing the generator aborts the work inside the engine.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

Message = Mapping[str, Any]
"""One chat message in OpenAI's wire format."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat as its caller sent it, all in OpenAI's wire format."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions that the answer may call."""
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model continues."""

    token_ids: tuple[int, ...]
    """Empty only where the engine takes conversations and no token ids."""
    conversation: Conversation | None = None
    """What the ids were made from, where they were made from a conversation."""


class StructuredOutput(BaseModel, frozen=True, extra="forbid"):
    """A form that the text must have; exactly one field is set. The names are vLLM's."""

    json_schema: Mapping[str, Any] | None = None
    """A JSON document that satisfies the schema."""
    json_object: bool | None = None
    """Any JSON object."""
    regex: str | None = None
    """A match of the whole text."""
    choice: tuple[str, ...] | None = None
    """One of these."""
    grammar: str | None = None
    """A sentence of this EBNF grammar."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(forms := self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"one form of structured output at a time; got {', '.join(forms) or 'none'}")
        return self


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
    structured_output: StructuredOutput | None = None
    """The form that the text must have, for engines that can enforce one."""
    stream_interval: Annotated[int, Field(ge=1)] = 1
    """New tokens that an engine may gather before it sends a sample's next delta; its first and last come at once.
    Changes how tokens are reported, not which are drawn: a search that waits for whole samples saves work by it."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a sample ended."""

    reason: Literal["stop", "length", "error"]
    """`length`: `max_tokens` or the context cut it, it did not end. `error`: this one sample failed."""
    matched: str | int | None = None
    """The stop string or extra stop token that matched; None for the model's own end of sequence."""
    detail: str = ""
    """What went wrong, for `error`."""
    prompt_tokens: int | None = None
    """Length of the prompt as the engine counted it, where the caller knows no token ids."""


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of one sample. Texts and ids of a sample's deltas concatenate to the whole sample.

    Chains of thought and tool calls that an engine receives apart from the text stand in the text as models write
    them: `<think>…</think>`, `<tool_call>{"name": …, "arguments": …}</tool_call>`.
    """

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
    unseen_tokens: int = 0
    """Tokens beside `token_ids`, whose ids the engine does not know. Negative to correct earlier estimates."""
    restart: bool = False
    """The sample begins anew with this delta: what came before it is void, though its tokens were spent."""
    top_texts: tuple[tuple[tuple[str, float], ...], ...] = ()
    """`top_logprobs` as (text, log-probability), from engines that show no ids and tell them nevertheless."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what a strategy or verifier needs is checked against it before any work."""

    context_length: int | None
    """Prompt and new tokens together; None where nobody knows before the engine refuses."""
    vocabulary_size: int | None
    """None where the engine does not show its tokens."""
    token_ids: bool = True
    """Prompts are token ids and samples have them. False: the engine reads conversations and cannot continue a given
    beginning of an answer, so only whole answers can be searched for."""
    scores: bool = True
    """`score` and `next_logprobs` work."""
    structured_output: bool = False
    """Can enforce `Sampling.structured_output`."""
    tools: bool = False
    """Offers a conversation's tools to the model."""


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

    @property
    def beginning_of_sequence(self) -> tuple[int, ...]:
        """The token that begins texts, for models that know one: `encode` leaves it out, chat templates write it."""
        ...

    def apply_chat_template(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """Ids of the messages and, by default, of the beginning of the assistant's next turn.

        Raises InvalidRequest when the template refuses them.
        """
        ...


class RunningModel(Protocol):
    """What engines and reward models have in common."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def stats(self) -> EngineStats: ...

    @property
    def failure(self) -> BaseException | None:
        """What killed it; None while it serves. An Overloaded passes by itself."""
        ...

    async def close(self) -> None:
        """Stop serving; running calls raise EngineStopped."""
        ...


class Engine(RunningModel, Protocol):
    """Samples from one model, and scores token sequences under it."""

    @property
    def sampling_defaults(self) -> Mapping[str, float]:
        """Fields of `Sampling` that the model's authors recommend, where they do."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        """Sample n completions of one prompt, interleaved as they come.

        Raises ContextOverflow before the first delta when the prompt does not fit, EngineStopped when the
        engine dies, Overloaded while it cannot be reached. Closing the generator aborts what still runs.
        """
        ...

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        """Teacher-forced log p(token_t | tokens before t), in nats, for t in [start, len) of each sequence.

        Raises InvalidRequest for a start below 1, ContextOverflow for a sequence longer than the context.
        """
        ...

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        """log p(token | sequence up to and with position), in nats: per sequence, per position, per given token.

        What a generative reward model says at its step marks. Positions ascend. Only what follows the prefix cache
        is read, so that asking for a grown chain's newest position costs its newest tokens.
        Raises InvalidRequest for positions outside the sequence, ContextOverflow for one that is too long.
        """
        ...


class TokenScorer(RunningModel, Protocol):
    """A reward model: what it thinks of a sequence after reading the token at a position."""

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """Log-odds (logits) that all is right so far, after the token at each of a sequence's ascending positions.

        The sigmoid of a value is a probability; values of outcome reward models are their unbounded rewards.
        Scoring a chain that grew since it was last scored reads only what is new.
        Raises InvalidRequest for positions outside the sequence, ContextOverflow for one that is too long.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished completion, folded from its deltas."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    unseen_tokens: int = 0
    """Tokens spent on it beside `token_ids`."""
    top_texts: tuple[tuple[tuple[str, float], ...], ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens it cost."""
        return len(self.token_ids) + self.unseen_tokens


@dataclass(slots=True)
class SampleBuilder:
    """Folds the deltas of one sample."""

    texts: list[str] = field(default_factory=list[str])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[tuple[tuple[int, float], ...]] = field(default_factory=list[tuple[tuple[int, float], ...]])
    top_texts: list[tuple[tuple[str, float], ...]] = field(default_factory=list[tuple[tuple[str, float], ...]])
    unseen_tokens: int = 0

    @property
    def tokens(self) -> int:
        """How many tokens it cost so far."""
        return len(self.token_ids) + self.unseen_tokens

    def add(self, delta: Delta) -> Sample | None:
        """The sample, if this delta was its last."""
        if delta.restart:
            self._restart()
        self.texts.append(delta.text)
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs
        self.top_logprobs += delta.top_logprobs
        self.top_texts += delta.top_texts
        self.unseen_tokens += delta.unseen_tokens
        return None if delta.finish is None else self.ended(delta.finish)

    def ended(self, finish: Finish) -> Sample:
        """What there is, as a sample that ended so."""
        return Sample(
            "".join(self.texts),
            tuple(self.token_ids),
            tuple(self.logprobs),
            finish,
            tuple(self.top_logprobs),
            self.unseen_tokens,
            tuple(self.top_texts),
        )

    def _restart(self) -> None:
        self.unseen_tokens = self.tokens
        for part in (self.texts, self.token_ids, self.logprobs, self.top_logprobs, self.top_texts):
            part.clear()
