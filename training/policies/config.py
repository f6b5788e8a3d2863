"""Which model a stage trains, and which of its weights. Names are TRL's and peft's."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deliberate.training.optimization.config import OptimizationConfig


class LoraOptions(BaseModel):
    """Low-rank adapters (Hu 2021, arXiv:2106.09685) in place of all weights. They are merged when the stage ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(default=16, gt=0, description="Rank of the adapters.")
    lora_alpha: int = Field(default=32, gt=0, description="The adapters' output is multiplied by lora_alpha / r.")
    lora_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the adapters.")
    target_modules: str | tuple[str, ...] = Field(
        default="all-linear",
        description="Names of the modules that get adapters; all-linear is all but the head.",
    )


class TrainedConfig(OptimizationConfig):
    """A stage that trains a model, of which all weights learn or adapters only."""

    no_effect: ClassVar[frozenset[str]] = OptimizationConfig.no_effect | {"fsdp"}

    gradient_checkpointing: bool = Field(
        default=False, description="Compute activations again in the backward pass: less memory, a third more time."
    )
    lora: LoraOptions | None = Field(default=None, description="Train adapters only; None trains all weights.")
    fsdp: bool = Field(
        default=False,
        description="Split the model among several processes, where it is too large for one device; else each has all "
        "of it. Needs adamw, and no lora.",
    )

    @model_validator(mode="after")
    def _can_be_split(self) -> Self:
        if self.fsdp and self.optim == "muon":
            raise ValueError("fsdp splits matrices among processes, and muon needs them whole: set optim to adamw")
        if self.fsdp and self.lora is not None:
            raise ValueError("fsdp splits the weights that learn, and with lora these are few: leave one of both out")
        return self


class PolicyConfig(TrainedConfig):
    """A stage that begins from a model that there is."""

    no_effect: ClassVar[frozenset[str]] = TrainedConfig.no_effect | {"model_name_or_path"}

    model_name_or_path: str = Field(description="Folder of a model, or its name on the Hugging Face Hub.")
