"""What the stages that train reward models are told in common."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from deliberate.training.datasets import DatasetConfig
from deliberate.training.policies.config import PolicyConfig


class RewardModelConfig(PolicyConfig):
    """A stage that trains a model to judge."""

    no_effect: ClassVar[frozenset[str]] = PolicyConfig.no_effect | {"reference_model"}

    datasets: tuple[DatasetConfig, ...] = Field(default=(), description="Data to mix by weight.")
    task: str | None = Field(
        default=None, description="The task of which exactly labelled chains are streamed: solutions and wrong ones."
    )
    task_share: float = Field(default=0.5, gt=0, lt=1, description="Of streamed chains, where there are datasets too.")
    difficulty: tuple[int, ...] | None = Field(default=None, description="Of the task's problems; None: the task's.")
    corruptions: int = Field(
        default=3, gt=0, description="Chains with one error that are made of each streamed problem's solution."
    )
    step_separator: str = Field(default="\n", min_length=1, max_length=16, description="Stands between two steps.")
    max_length: int | None = Field(default=None, gt=1, description="Chains of more tokens are left out.")
    lm_coef: float = Field(
        default=0.1,
        ge=0,
        description="Weight of the language-model loss on what is right: a head that learns alone makes the model "
        "forget what it knew.",
    )
    head_learning_rate: float | None = Field(
        default=None, gt=0, description="Peak rate of the head; None: learning_rate."
    )
    freeze_trunk_steps: int = Field(default=0, ge=0, description="Over these first steps only the head learns.")
    eval_datasets: tuple[DatasetConfig, ...] = Field(
        default=(), description="What it is measured on: rollouts with scores, and labelled steps."
    )
    eval_problems: int = Field(
        default=32,
        ge=0,
        description="Held-out problems of the task to measure it on: for first errors, and for answers where "
        "eval_datasets hold none.",
    )
    eval_steps: int = Field(default=250, gt=0, description="It is measured every so many steps, and at the end.")

    beta: float = Field(default=0.05, gt=0, description="Factor on the log-ratio, in the implicit form.")
    reference_model: str | None = Field(
        default=None,
        description="Model that the log-ratio of the implicit form is to, such as the policy; None: its start. A start "
        "that knows more than the reference judges well from the first step on.",
    )

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if self.task is None and not self.datasets:
            raise ValueError("give datasets, a task, or both")
        return self

    @property
    def beside(self) -> tuple[str, ...]:
        """Models that the result is used with."""
        return () if self.reference_model is None else (self.reference_model,)
