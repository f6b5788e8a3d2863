"""What callers of /v1/completions send: OpenAI's fields, and vLLM's beside them."""

from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from deliberate.server.bodies import Refusals
from deliberate.server.fields import SamplingRequest
from deliberate.server.validation import malformed

_NO_SEARCH = "This endpoint gives plain samples; /v1/chat/completions searches."
_PLAIN_TEXT = "Texts end before their stop string and hold no special tokens; return_token_ids gives the tokens."

_TOKEN_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_PROMPT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        _TOKEN_IDS,
        {"type": "array", "items": _TOKEN_IDS, "minItems": 1},
    ]
}


def _read_prompts(value: Any) -> tuple[str | tuple[int, ...], ...]:
    """All four ways to write prompts as one: a tuple of texts and tuples of ids."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        raise malformed("prompt", "must be a string, a list of token ids, or a list of several of these")
    items = cast(list[Any], value)
    if type(items[0]) is int:
        return (_token_ids(items, "prompt"),)
    return tuple(
        item if isinstance(item, str) else _token_ids(item, f"prompt[{number}]") for number, item in enumerate(items)
    )


def _token_ids(value: Any, path: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise malformed(path, "must be a string or a list of token ids")
    for place, item in enumerate(cast(list[Any], value)):
        if type(item) is not int or item < 0:
            raise malformed(f"{path}[{place}]", f"is {item!r:.40}, not a token id")
    return tuple(cast(list[int], value))


class CompletionRequest(SamplingRequest):
    """OpenAI's completion request."""

    refused: ClassVar[Refusals] = {
        "strategy": (_NO_SEARCH, ["none", {"kind": "none"}]),
        "best_of": (_NO_SEARCH, [1]),
        "use_beam_search": (_NO_SEARCH, [False]),
        "suffix": ("Models here write forwards only.", [""]),
        "repetition_penalty": ("Use frequency_penalty or presence_penalty.", [1]),
        "ignore_eos": ("Samples end where the model ends them.", [False]),
        "min_tokens": ("Samples end where the model ends them.", [0]),
        "include_stop_str_in_output": (_PLAIN_TEXT, [False]),
        "skip_special_tokens": (_PLAIN_TEXT, [True]),
        "spaces_between_special_tokens": (_PLAIN_TEXT, [True]),
        "add_special_tokens": ("Texts are read as they stand; send token ids to begin otherwise.", [False]),
        "truncate_prompt_tokens": ("Shorten the prompt.", []),
        "allowed_token_ids": ("Use logit_bias or structured_outputs.", []),
        "bad_words": ("Use logit_bias.", []),
        "prompt_embeds": ("Send token ids.", []),
    }

    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """Sample `i` of each prompt draws with `seed + i`. Without one a random seed is drawn."""
    prompt: Annotated[tuple[str | tuple[int, ...], ...], PlainValidator(_read_prompts), WithJsonSchema(_PROMPT_SCHEMA)]
    """What to continue: a text, token ids, or a list of either."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """Most new tokens per sample. Default 16. 0 only reads the prompts, for their log-probabilities."""
    echo: bool | None = None
    """Let texts begin with their prompt, and `logprobs` with those of the prompt's tokens."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Send log-probabilities, and this many alternatives per new token. The prompt's tokens come without others."""
    prompt_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    """Send the prompt's log-probabilities in vLLM's form; 0, since they come without alternatives."""
    logprob_token_ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=1024)] | None = None
    """Send what these tokens would have got as the next one, in place of the likeliest alternatives. Needs `logprobs`
    and `max_tokens` = 1."""
    return_token_ids: bool | None = None
    """Send the ids of the new tokens, and of the prompt."""
    return_tokens_as_token_ids: bool | None = None
    """In `logprobs`, write tokens as `token_id:…`."""
    request_id: Any = None
    """Accepted; the header `x-request-id` is echoed."""

    strategy: Any = None
    """Only `none`."""
    best_of: Any = None
    """Only 1."""
    use_beam_search: Any = None
    """Only false."""
    suffix: Any = None
    """Only empty."""
    repetition_penalty: Any = None
    """Only 1."""
    ignore_eos: Any = None
    """Only false."""
    min_tokens: Any = None
    """Only 0."""
    include_stop_str_in_output: Any = None
    """Only false."""
    skip_special_tokens: Any = None
    """Only true."""
    spaces_between_special_tokens: Any = None
    """Only true."""
    add_special_tokens: Any = None
    """Only false: texts are read as they stand."""
    truncate_prompt_tokens: Any = None
    """Only null."""
    allowed_token_ids: Any = None
    """Only null."""
    bad_words: Any = None
    """Only empty."""
    prompt_embeds: Any = None
    """Only null."""

    @property
    def samples(self) -> int:
        """Per prompt."""
        return self.n or 1

    @property
    def new_tokens(self) -> int:
        """Most per sample."""
        return 16 if self.max_tokens is None else self.max_tokens

    @property
    def scores_prompts(self) -> bool:
        """Whether the prompts' own log-probabilities are wanted."""
        return self.prompt_logprobs is not None or (bool(self.echo) and self.logprobs is not None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.logprob_token_ids and (self.logprobs is None or self.new_tokens != 1):
            raise ValueError("logprob_token_ids needs logprobs and max_tokens = 1")
        return self
