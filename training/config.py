"""Configuration of supervised fine-tuning. Names are TRL's and transformers' where they have one."""

from pathlib import Path
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


class SFTConfig(BaseModel):
    """One run of supervised fine-tuning from random weights. All steps are optimizer updates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the model.")
    summary: str = Field(default="", description="What the model is for; goes into its artifact and card.")
    command: str = Field(default="", description="The command to record as the one that makes the model.")
    verifier: str | None = Field(default=None, description="Name of the companion model that scores this one.")
    output_dir: Path = Field(description="Folder of the finished model; checkpoints and metrics.jsonl go there too.")
    tokenizer: Path = Field(description="Hugging Face tokenizer folder with a chat template.")
    model: ModelShape = Field(default=ModelShape(), description="Size of the model.")
    task: str = Field(description="The task whose train split is streamed.")
    difficulty: tuple[int, ...] | None = Field(default=None, description="Step counts to train on; None: the task's.")
    system_prompt_share: float = Field(default=0.05, ge=0, le=1, description="Examples given a system prompt.")
    seed: int = Field(default=0, description="Of the initial weights and of the data.")
    max_steps: int = Field(gt=0, description="Length of the run.")
    warmup_steps: int = Field(default=50, ge=0, description="The rate rises linearly over these first steps.")
    decay_steps: int = Field(default=0, ge=0, description="The rate falls linearly to zero over these last steps.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Peak rate, of Muon and AdamW alike.")
    weight_decay: float = Field(default=0.1, ge=0, description="Decoupled decay of the hidden matrices.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are scaled down to this norm.")
    per_device_train_batch_size: int = Field(default=24, gt=0, description="Examples per step.")
    logit_scale: float = Field(
        default=1.0,
        gt=0,
        description="Factor on the finished model's logits, put into its last norm. Below 1 it is less sure of itself: "
        "sampling at temperature T is then as sampling at T / logit_scale before.",
    )
    bf16: bool = Field(
        default=False,
        description="bfloat16 autocast. A gain on GPUs and on CPUs with AVX512-BF16 or AMX, a loss on others.",
    )
    num_threads: int = Field(default=1, gt=0, description="CPU threads; small models gain little from more.")
    logging_steps: int = Field(default=25, gt=0, description="A line of metrics.jsonl covers this many steps.")
    save_steps: int = Field(default=250, gt=0, description="A checkpoint to resume from every so many steps.")
    save_total_limit: int | None = Field(
        default=1, gt=0, description="Checkpoints kept while running, none afterwards; None keeps all for good."
    )
