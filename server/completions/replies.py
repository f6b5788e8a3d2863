"""What /v1/completions sends: OpenAI's `text_completion`, with the keys that vLLM adds."""

from collections.abc import Mapping
from typing import Literal

from deliberate.server.replies import Reply, Usage


class CompletionLogprobs(Reply):
    """Log-probabilities under the model itself, in nats; one entry per token in each list."""

    text_offset: list[int]
    """Where the token begins in the text."""
    token_logprobs: list[float | None]
    """Null for a prompt's first token, which nothing predicts."""
    tokens: list[str]
    top_logprobs: list[Mapping[str, float] | None]
    """The token itself, and the alternatives."""


class PromptLogprob(Reply):
    """One token of a prompt."""

    logprob: float
    rank: None = None
    """Not known."""
    decoded_token: str


class CompletionChoice(Reply):
    """One sample, or new text of it. The n samples of the first prompt come first."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"] | None
    """Null while the sample goes on."""
    stop_reason: str | int | None
    """The stop string or stop token that matched."""
    token_ids: list[int] | None = None
    """With `return_token_ids`: the new tokens."""
    prompt_token_ids: list[int] | None = None
    """With `return_token_ids`: the prompt; in a stream once per choice."""
    prompt_logprobs: list[Mapping[int, PromptLogprob] | None] | None = None
    """With `prompt_logprobs`: per token of the prompt, by id; null for the first."""


class TextCompletion(Reply):
    """OpenAI's `text_completion`; a stream's chunks have the same shape."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    """Null in chunks but, with `include_usage`, the last."""
