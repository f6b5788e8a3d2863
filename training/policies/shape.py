"""The size of a model that is trained from random weights."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelShape(BaseModel):
    """Size of a Llama-architecture model with tied embeddings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_size: int = Field(default=192, gt=0, description="Width of the residual stream.")
    intermediate_size: int = Field(default=512, gt=0, description="Width inside the MLP.")
    num_hidden_layers: int = Field(default=6, gt=0, description="Transformer blocks.")
    num_attention_heads: int = Field(default=6, gt=0, description="Query heads; they divide hidden_size.")
    num_key_value_heads: int = Field(default=2, gt=0, description="Key and value heads; they divide the query heads.")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        for whole, part in (("hidden_size", "num_attention_heads"), ("num_attention_heads", "num_key_value_heads")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{whole} {getattr(self, whole)} is no multiple of {part} {getattr(self, part)}")
        return self
