"""The names of the engines, apart from anything heavy."""

from enum import StrEnum


class EngineName(StrEnum):
    """What runs a model."""

    transformers = "transformers"
    """The embedded engine."""
    vllm = "vllm"
    """vLLM in this process."""
    openai = "openai"
    """Other servers, over HTTP."""
