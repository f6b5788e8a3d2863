"""What callers send: OpenAI's fields, vLLM's sampling fields, and `strategy`.

Unknown fields are refused, and so are known ones whose meaning would be lost here. Fields that change nothing
about an answer (`user`, `metadata`, …) are accepted.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, cast

from pydantic import Field, WrapValidator, model_validator

from deliberate.engines.errors import InvalidRequest
from deliberate.search.prompts.registry import MAX_TRANSFORMS, AnyTransform, parse_transforms
from deliberate.search.registry import AnyStrategy, parse_strategy
from deliberate.search.strategy import Strategy
from deliberate.search.transform import PromptTransform
from deliberate.server.bodies import Refusals, RequestBody
from deliberate.server.budgets import RequestBudget
from deliberate.server.fields import SamplingRequest
from deliberate.server.messages import ChatMessage
from deliberate.server.settings import Effort
from deliberate.server.tools import Tool, ToolChoice


def _read_strategy(value: Any, handler: Any) -> Strategy:
    if isinstance(value, Strategy):
        return value
    if not isinstance(value, str | dict):
        raise InvalidRequest(f"strategy is {value!r}, but must be a name or an object.", param="strategy")
    return parse_strategy(cast(str | dict[str, Any], value))


def _read_prompt(value: Any, handler: Any) -> tuple[PromptTransform, ...]:
    return parse_transforms(value)


if TYPE_CHECKING:
    RequestedStrategy = Strategy
    RequestedTransforms = tuple[PromptTransform, ...]
else:
    RequestedStrategy = Annotated[str | AnyStrategy, WrapValidator(_read_strategy)]
    _Transform = str | AnyTransform
    _Transforms = Annotated[list[_Transform], Field(max_length=MAX_TRANSFORMS)]
    RequestedTransforms = Annotated[_Transform | _Transforms, WrapValidator(_read_prompt)]
"""A strategy by short name or config, and prompt transforms by kind or config."""


_FUNCTIONS = "Send tools and tool_choice, which took its place."
_NO_AUDIO = "This server answers with text."

_REFUSED: Refusals = {
    "repetition_penalty": ("Use frequency_penalty or presence_penalty.", [1]),
    "functions": (_FUNCTIONS, []),
    "function_call": (_FUNCTIONS, ["none", "auto"]),
    "modalities": (_NO_AUDIO, [["text"]]),
    "audio": (_NO_AUDIO, []),
    "web_search_options": ("Put what was found into a message.", []),
    "moderation": ("Moderate before and after the request.", []),
    "verbosity": ("Ask for the wanted length in a message.", ["medium"]),
}


class ChatRequest(SamplingRequest):
    """OpenAI's chat completion request."""

    refused: ClassVar[Refusals] = _REFUSED

    model: str
    """A served model; `tiny:best-of-16` is the model `tiny` with a strategy."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """The conversation."""
    strategy: RequestedStrategy | None = None
    """How to search for the answer: a short name such as `best-of-16@calculator`, or a strategy's config."""
    prompt: RequestedTransforms | None = None
    """Changes the conversation before the search, with any strategy: a prompt transform by kind or config, or a list of
    them, which are applied in order."""
    budget: RequestBudget | None = None
    """Where the search ends at the latest. Default: the server's ceilings."""
    reasoning_effort: Effort | None = None
    """Picks a strategy by the server's table, when the request names none."""

    n: Annotated[int, Field(ge=1, le=128)] | None = None
    """Answers wanted: the best n different ones of a search, or n independent samples without one. Default 1."""
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

    tools: list[Tool] | None = None
    """Functions that the answer may call, for models whose engine offers them; empty elsewhere."""
    tool_choice: ToolChoice | None = None
    """Whether the answer calls a tool: `none`, `auto`, `required`, or the tool to call. Default `auto`."""
    parallel_tool_calls: bool | None = None
    """Whether an answer may call several."""

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
    repetition_penalty: Any = None
    """Only 1."""
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

    @property
    def most_tokens(self) -> int | None:
        """Of one candidate, under whichever name it was sent."""
        return self.max_completion_tokens or self.max_tokens

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError(f"top_logprobs = {self.top_logprobs} needs logprobs = true")
        if None not in (limits := (self.max_tokens, self.max_completion_tokens)) and len(set(limits)) > 1:
            raise ValueError(f"max_tokens = {limits[0]} and max_completion_tokens = {limits[1]} differ; send one")
        return self


_ASKS = "A conversation's tokens always end by asking for the next answer."


class TokenizeRequest(RequestBody):
    """Text or a conversation to be tokenized; exactly one of `prompt` and `messages`."""

    refused: ClassVar[Refusals] = {
        "add_special_tokens": ("Texts are read as they stand.", [False]),
        "add_generation_prompt": (_ASKS, [True]),
        "continue_final_message": (_ASKS, [False]),
        "chat_template": ("The server is started with one: deliberate serve --chat-template.", []),
        "chat_template_kwargs": ("The server's template takes none.", []),
        "tools": ("The model's template is given no tools.", []),
    }

    model: str | None = None
    """Default: the first served model."""
    prompt: str | None = None
    """Plain text."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    """A conversation, tokenized with the model's chat template."""
    return_token_strs: bool | None = None
    """Accepted: the tokens' texts are always sent."""

    add_special_tokens: Any = None
    """Only false."""
    add_generation_prompt: Any = None
    """Only true."""
    continue_final_message: Any = None
    """Only false."""
    chat_template: Any = None
    """Only null."""
    chat_template_kwargs: Any = None
    """Only empty."""
    tools: Any = None
    """Only empty."""

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
