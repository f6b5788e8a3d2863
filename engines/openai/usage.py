"""What an answer says that it cost."""

from pydantic import BaseModel


class _PromptDetails(BaseModel, frozen=True):
    cached_tokens: int | None = None


class Usage(BaseModel, frozen=True):
    """OpenAI's `usage` object."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    """vLLM sends it when started with `--enable-prompt-tokens-details`."""

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the upstream had read before, as far as it tells."""
        details = self.prompt_tokens_details
        return 0 if details is None else details.cached_tokens or 0
