"""The domain errors of the whole project.

    DeliberateError
    ├── InvalidRequest            the caller must change the request (HTTP 400)
    │   ├── UnknownName           a name that is not served, with the names that are
    │   └── ContextOverflow       the prompt does not fit into the model's context
    ├── Overloaded                try again later (HTTP 503 with Retry-After)
    ├── EngineStopped             the engine died or was closed (HTTP 503)
    ├── UpstreamFailed            a server that an engine asks broke its promise (HTTP 502)
    └── SearchFailed              every sample of a search failed (HTTP 500)

A bad sample or a verifier that cannot decide is data, not an error: neither appears here.
"""

import difflib
from collections.abc import Iterable


class DeliberateError(Exception):
    """Base of all domain errors; `str(error)` is a sentence for the caller."""


class InvalidRequest(DeliberateError):
    """The request cannot be served as it is. `param` names the field at fault, `code` is OpenAI's error code."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnknownName(InvalidRequest):
    """A name nobody answers to; the message lists the alternatives and the closest of them."""

    def __init__(
        self, kind: str, name: str, alternatives: Iterable[str], *, param: str | None = None, code: str | None = None
    ) -> None:
        known = sorted(alternatives)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"Unknown {kind} {name!r}; known: {', '.join(known)}.{hint}", param=param, code=code)
        self.name = name


class ContextOverflow(InvalidRequest):
    """Prompt plus at least one new token exceed the context."""

    def __init__(self, prompt_tokens: int, context_length: int, *, param: str = "messages") -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens, but this model's context holds {context_length}, "
            f"of which at least one must stay free for the answer. Shorten the {param}.",
            param=param,
            code="context_length_exceeded",
        )


class Overloaded(DeliberateError):
    """The queue is full; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EngineStopped(DeliberateError):
    """The engine no longer runs; its cause is chained."""


class UpstreamFailed(DeliberateError):
    """A server that an engine asks answered wrongly, not in time, or refused; the message names its address."""


class SearchFailed(DeliberateError):
    """No sample of the search came to an end."""
