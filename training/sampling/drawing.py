"""How completions are drawn, whoever asks for them. Names are TRL's."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from deliberate.engines.protocol import Sampling

Length = TypeVar("Length", int, int | None)


class SamplingOptions(BaseModel, Generic[Length]):
    """How each token is drawn, and where completions end. `Length` is `int` where the longest must be known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_completion_length: Length = Field(gt=0, description="Most tokens of a completion.")
    temperature: float = Field(default=1.0, ge=0, description="Of sampling; 0 makes all completions the same.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Sample from the likeliest tokens of this probability.")
    top_k: int = Field(default=0, ge=0, description="Sample from so many likeliest tokens; 0: from all.")
    min_p: float = Field(default=0.0, ge=0, le=1, description="Leave out tokens below this share of the likeliest.")
    stop: tuple[str, ...] = Field(default=(), description="Texts that end a completion.")

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            stop=self.stop,
        )
