"""What a user says about the servers to ask."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """One model behind one or several addresses."""

    urls: tuple[str, ...]
    """Base URLs, with or without `/v1`; all of them serve the same model."""
    model: str | None = None
    """The model's name there; None is the only one they list."""
    kind: Literal["auto", "vllm", "chat"] = "auto"
    """`vllm` takes token ids (vLLM, or another Deliberate), `chat` conversations only (vendors, Ollama, llama.cpp);
    `auto` is `vllm` where the list of models says that it is owned by `vllm` or `deliberate`."""
    api_key: str | None = field(default=None, repr=False)
    """Sent as a bearer token."""
    tokenizer: str | None = None
    """Folder or name of the model's tokenizer, for `vllm`. None: the folder that the upstream names, if it is on this
    machine too; else the upstream tokenizes, at one more request per text."""
    chat_template: str | None = None
    """Used instead of the tokenizer's own, for `vllm`."""
    timeout_seconds: float = 60.0
    """Longest silence: before the first and between two pieces of an answer. Answers may take longer as a whole."""
    concurrency: int = 256
    """Most samples on their way at one address; more wait here."""
