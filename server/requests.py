"""What callers send: OpenAI's fields, vLLM's sampling fields, and `strategy`.

Unknown fields are refused, and so are known ones whose meaning would be lost here. Fields that change nothing
about an answer (`user`, `metadata`, …) are accepted.
"""

from typing import TYPE_CHECKING, Annotated, Any, Self, cast

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from deliberate.engines.errors import InvalidRequest
from deliberate.search.registry import AnyStrategy, parse_strategy
from deliberate.search.strategy import Strategy
from deliberate.server.bodies import RequestBody, RequestModel
from deliberate.server.messages import ChatMessage
from deliberate.server.settings import Effort
from deliberate.server.validation import unsupported
from deliberate.verifiers.registry import AnyVerifier

MAX_STOPS = 16


class StreamOptions(RequestModel):
    """What a stream holds besides the answer."""

    include_usage: bool = False
    """Send the usage in one more chunk at the end."""
    include_obfuscation: bool | None = None
    """Accepted; nothing is obfuscated."""


def _read_strategy(value: Any, handler: Any) -> Strategy:
    if isinstance(value, Strategy):
        return value
    if not isinstance(value, str | dict):
        raise InvalidRequest(f"strategy is {value!r}, but must be a name or an object.", param="strategy")
    return parse_strategy(cast(str | dict[str, Any], value))


if TYPE_CHECKING:
    RequestedStrategy = Strategy
else:
    RequestedStrategy = Annotated[str | AnyStrategy, WrapValidator(_read_strategy)]
"""A strategy by short name or config."""


def _stops(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


_NO_TOOLS = "This server does not call tools: describe them in a message and read the call from the answer."
_NO_AUDIO = "This server answers with text."

_REFUSED: dict[str, tuple[str, list[Any]]] = {
    "response_format": (
        'Let a verifier check the answers instead: "strategy": {"kind": "best_of_n", "n": 8, '
        '"verifier": {"kind": "json", "schema": {...}}}.',
        [{"type": "text"}],
    ),
    "tools": (_NO_TOOLS, []),
    "tool_choice": (_NO_TOOLS, ["none", "auto"]),
    "functions": (_NO_TOOLS, []),
    "function_call": (_NO_TOOLS, ["none", "auto"]),
    "modalities": (_NO_AUDIO, [["text"]]),
    "audio": (_NO_AUDIO, []),
    "web_search_options": ("Put what was found into a message.", []),
    "moderation": ("Moderate before and after the request.", []),
    "verbosity": ("Ask for the wanted length in a message.", ["medium"]),
}
"""Fields that may only be absent, null, empty or one of the values, because their meaning would be lost: what to do
instead, and the values."""

Probability = Annotated[FiniteFloat, Field(ge=0, le=1)]
Penalty = Annotated[FiniteFloat, Field(ge=-2, le=2)]
Bias = Annotated[FiniteFloat, Field(ge=-100, le=100)]
StopString = Annotated[str, Field(min_length=1)]
Stops = Annotated[
    tuple[StopString, ...],
    BeforeValidator(_stops),
    Field(max_length=MAX_STOPS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MAX_STOPS},
                {"type": "null"},
            ]
        }
    ),
]


class ChatRequest(RequestBody):
    """OpenAI's chat completion request."""

    model: str
    """A served model; `tiny:best-of-16` is the model `tiny` with a strategy."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """The conversation."""
    strategy: RequestedStrategy | None = None
    """How to search for the answer: a short name such as `best-of-16@calculator`, or a strategy's config."""
    reasoning_effort: Effort | None = None
    """Picks a strategy by the server's table, when the request names none."""

    n: Annotated[int, Field(ge=1, le=128)] | None = None
    """Answers wanted: the best n different ones of a search, or n independent samples without one. Default 1."""
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] | None = None
    """0 is greedy. Default: the model's, else 1. Searches raise it to a floor, so that candidates differ."""
    top_p: Probability | None = None
    """Keep the smallest set of tokens with this probability. Default: the model's, else 1."""
    top_k: Annotated[int, Field(ge=-1)] | None = None
    """Keep the k likeliest tokens; 0 and -1 keep all. Default: the model's, else 0."""
    min_p: Probability | None = None
    """Drop tokens less likely than this share of the likeliest one. Default: the model's, else 0."""
    frequency_penalty: Penalty | None = None
    """Subtracted from a token's logit for each time it was written. Default 0."""
    presence_penalty: Penalty | None = None
    """Subtracted from a token's logit once it was written. Default 0."""
    logit_bias: dict[Annotated[int, Field(ge=0)], Bias] | None = None
    """Added to the logits of these token ids."""
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """Same seed, same request, same answer. Without one a random seed is drawn, which the reply reports."""
    stop: Stops = ()
    """At most 16 strings that end the text; it ends before them."""
    stop_token_ids: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Tokens that end the text."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most new tokens per candidate. Default: what the context holds."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """The same as `max_tokens`."""
    logprobs: bool | None = None
    """Send the log-probabilities of the content's tokens."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Alternatives per token; needs `logprobs`."""
    stream: bool | None = None
    """Send server-sent events: progress while searching, then the answer."""
    stream_options: StreamOptions | None = None
    """Only with `stream`."""

    user: Any = None
    """Accepted; changes nothing."""
    metadata: Any = None
    """Accepted; changes nothing."""
    store: Any = None
    """Accepted; nothing is stored."""
    service_tier: Any = None
    """Accepted; changes nothing."""
    safety_identifier: Any = None
    """Accepted; changes nothing."""
    prompt_cache_key: Any = None
    """Accepted; equal prefixes share their cache anyway."""
    prompt_cache_options: Any = None
    """Accepted; changes nothing."""
    prompt_cache_retention: Any = None
    """Accepted; changes nothing."""
    prediction: Any = None
    """Accepted; changes nothing."""
    parallel_tool_calls: Any = None
    """Accepted; there are no tool calls."""

    response_format: Any = None
    """Only `{"type": "text"}`; the `json` verifier checks answers against a schema."""
    tools: Any = None
    """Only empty: this server does not call tools."""
    tool_choice: Any = None
    """Only `none` and `auto`."""
    functions: Any = None
    """Only empty."""
    function_call: Any = None
    """Only `none` and `auto`."""
    modalities: Any = None
    """Only `["text"]`."""
    audio: Any = None
    """Only null."""
    web_search_options: Any = None
    """Only null."""
    moderation: Any = None
    """Only null."""
    verbosity: Any = None
    """Only `medium`."""

    @field_validator(*_REFUSED)
    @classmethod
    def _keeps_its_meaning(cls, value: Any, info: ValidationInfo) -> Any:
        instead, allowed = _REFUSED[str(info.field_name)]
        if value is None or value in ([], {}) or value in allowed:
            return value
        raise unsupported(str(info.field_name), value, instead)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError(f"top_logprobs = {self.top_logprobs} needs logprobs = true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream = true")
        if None not in (limits := (self.max_tokens, self.max_completion_tokens)) and len(set(limits)) > 1:
            raise ValueError(f"max_tokens = {limits[0]} and max_completion_tokens = {limits[1]} differ; send one")
        return self


class VerifyRequest(RequestBody):
    """Texts to be judged."""

    verifier: AnyVerifier
    """Who judges: a kind, a config, or a list of configs with weights."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """What was asked."""
    candidates: Annotated[list[str], Field(min_length=1)]
    """The answers to judge."""
    model: str | None = None
    """The model in question, for verifiers that ask one; default: the first that is served."""


class TokenizeRequest(RequestBody):
    """Text or a conversation to be tokenized; exactly one of `prompt` and `messages`."""

    model: str | None = None
    """Default: the first served model."""
    prompt: str | None = None
    """Plain text."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    """A conversation, tokenized with the model's chat template."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send exactly one of prompt and messages")
        return self


class DetokenizeRequest(RequestBody):
    """Token ids to be turned into text."""

    model: str | None = None
    """Default: the first served model."""
    tokens: list[Annotated[int, Field(ge=0)]]
    """Ids in the model's vocabulary."""
