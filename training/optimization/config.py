"""What every stage that changes weights is told. Names are TRL's and transformers' where they have one."""

from typing import ClassVar, Literal

from pydantic import Field

from deliberate.training.stages._protocol import StageConfig


class OptimizationConfig(StageConfig):
    """A run of the loop. A step is what a stage does between two of its batches: one optimizer update, or several."""

    no_effect: ClassVar[frozenset[str]] = StageConfig.no_effect | {"logging_steps", "save_steps", "save_total_limit"}

    max_steps: int = Field(gt=0, description="Length of the run.")
    warmup_steps: int = Field(default=50, ge=0, description="The rate rises linearly over these first steps.")
    decay_steps: int = Field(default=0, ge=0, description="The rate falls linearly to zero over these last steps.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Peak rate, of Muon and AdamW alike.")
    weight_decay: float = Field(default=0.1, ge=0, description="Decoupled decay of the hidden matrices.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are scaled down to this norm.")
    optim: Literal["muon", "adamw"] = Field(
        default="muon", description="Muon on the hidden matrices with AdamW on the rest, or AdamW on all."
    )
    per_device_train_batch_size: int = Field(
        default=24, gt=0, description="Sequences that go through the model together; several processes share them."
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
