"""The fields that requests for chats and for plain completions share."""

from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    WithJsonSchema,
    model_validator,
)

from deliberate.server.bodies import RequestBody, RequestModel
from deliberate.server.structured import ResponseFormat, StructuredOutputs

MAX_STOPS = 16


class StreamOptions(RequestModel):
    """What a stream holds besides the answer."""

    include_usage: bool = False
    """Send the usage in one more chunk at the end."""
    include_obfuscation: bool | None = None
    """Accepted; nothing is obfuscated."""


def _stops(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


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


class SamplingRequest(RequestBody):
    """How many samples of which model, how their tokens are drawn, and how they are sent."""

    model: str
    """A served model."""
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    """Independent samples wanted. Default 1."""
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
    response_format: Annotated[ResponseFormat | None, BeforeValidator(lambda value: value or None)] = None
    """The form of the text: any JSON object, or one of a schema; for models whose engine can enforce it. Elsewhere the
    `json` verifier checks answers against a schema."""
    structured_outputs: StructuredOutputs | None = None
    """The same in vLLM's words, which know more forms."""
    stream: bool | None = None
    """Send server-sent events."""
    stream_options: StreamOptions | None = None
    """Only with `stream`."""
    stream_interval: Annotated[int, Field(ge=1)] | None = None
    """Tokens to gather per chunk of a stream. The first and the last come at once. Default 1."""
    user: Any = None
    """Accepted; changes nothing."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream = true")
        if self.response_format is not None and self.structured_outputs is not None:
            raise ValueError("response_format and structured_outputs both set the form of the text; send one")
        return self
