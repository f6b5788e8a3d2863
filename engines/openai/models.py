"""What an upstream says it serves."""

from pydantic import BaseModel


class ModelCard(BaseModel, frozen=True):
    """One entry of GET /v1/models."""

    id: str
    owned_by: str = ""
    root: str | None = None
    """vLLM: folder or name that the model was loaded from."""
    max_model_len: int | None = None
    """vLLM: tokens of prompt and answer together."""


class ModelList(BaseModel, frozen=True):
    """Answer of GET /v1/models."""

    data: tuple[ModelCard, ...]

    @property
    def names(self) -> list[str]:
        return [card.id for card in self.data]
