"""What the stage `ppo` is told."""

from typing import Self

from pydantic import Field, model_validator

from deliberate.training.policy_optimization.config import SampledConfig


class PPOConfig(SampledConfig):
    """One run of proximal policy optimisation with a value model of its own."""

    num_generations: int = Field(default=1, gt=0, description="Completions of each problem.")
    num_iterations: int = Field(default=4, gt=0, description="Passes over a step's completions (num_ppo_epochs).")
    value_model_name_or_path: str | None = Field(
        default=None,
        description="What the value model begins as: a language model, which gets a new head, or a reward model with "
        "one. None: the policy.",
    )
    value_learning_rate: float | None = Field(default=None, gt=0, description="Of the value model; None: the policy's.")
    vf_coef: float = Field(default=0.1, gt=0, description="Weight of the value model's loss.")
    cliprange: float = Field(default=0.2, gt=0, description="The ratio of probabilities is clipped this far from 1.")
    cliprange_value: float | None = Field(
        default=0.2, gt=0, description="Values are clipped this far from those before the update; None: not."
    )
    kl_coef: float = Field(
        default=0.05, ge=0, description="Taken off each token's reward for its divergence (k1) from the first policy."
    )
    gamma: float = Field(default=1.0, gt=0, le=1, description="Discount of later rewards.")
    lam: float = Field(default=1.0, ge=0, le=1, description="Lambda of generalised advantages; 1: no bootstrapping.")
    whiten_advantages: bool = Field(default=True, description="Scale the step's advantages to mean 0 and variance 1.")

    @model_validator(mode="after")
    def _has_a_batch(self) -> Self:
        if self.generation_batch_size < 2 and self.whiten_advantages:
            raise ValueError("generation_batch_size 1: whiten_advantages compares completions; take 2 or more")
        return self
