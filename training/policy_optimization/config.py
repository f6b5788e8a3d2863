"""What the stages are told that learn from the policy's own samples. Names are TRL's where it has one."""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.datasets.problems import TaskConfig
from deliberate.training.policies.config import PolicyConfig
from deliberate.training.sampling.drawing import SamplingOptions
from deliberate.training.sampling.engines import HOW_IT_RUNS, EngineConfig
from deliberate.training.tasks import Split
from deliberate.verifiers.steps import Separator


class RewardOptions(BaseModel):
    """One of the verifiers whose scores, in [0, 1], are added up to the reward."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="In the metrics it is rewards/<name>.")
    verifier: Any = Field(
        default=None,
        description="A kind, a config, or a list of configs, as in a request. None: each row's own, or the comparison "
        "with its answer.",
    )
    fill: dict[str, str] = Field(
        default={}, description="Options of the verifier that stand in the rows: option to field, as {answer: answer}."
    )
    supervision: Literal["outcome", "process"] = Field(
        default="outcome",
        description="process: the verifier judges steps, and each step is rewarded at the token that ends it.",
    )
    step_separator: Separator | None = Field(
        default=None, description="What stands between two steps, as the verifier splits; None: what the policy puts."
    )


OWN = RewardOptions(name="own")
"""Each row's own verifier."""


class HeldOut(TaskConfig):
    """Problems on which the policy is measured while it learns."""

    split: Split = Field(default="test", description="Side of the task's division: train or test.")
    num_generations: int = Field(default=1, gt=0, description="Completions of each problem.")


class SampledConfig(SamplingOptions[int], PolicyConfig):
    """A stage that learns from the policy's own samples. A step is one round of sampling, and what is learned of it."""

    no_effect: ClassVar[frozenset[str]] = PolicyConfig.no_effect | {
        "eval_steps",
        "evaluation",
        "num_completions_to_print",
        "sampling_batch_size",
    }

    learning_rate: float = Field(default=1e-6, gt=0, description="Peak rate, of Muon and AdamW alike.")
    optim: Literal["muon", "adamw"] = Field(
        default="adamw", description="Muon on the hidden matrices with AdamW on the rest, or AdamW on all."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="Decoupled decay of the hidden matrices.")
    warmup_steps: int = Field(default=0, ge=0, description="The rate rises linearly over these first steps.")
    logging_steps: int = Field(default=1, gt=0, description="A line of metrics.jsonl covers this many steps.")
    save_steps: int = Field(default=50, gt=0, description="A checkpoint to resume from every so many steps.")

    task: str | None = Field(default=None, description="The task whose train split gives fresh problems; or datasets.")
    difficulty: tuple[int, ...] | None = Field(default=None, description="Those of the task to draw from; None: all.")
    datasets: tuple[DatasetConfig, ...] = Field(
        default=(), description="Problems to mix by weight, in place of a task."
    )
    system_prompt: str | None = Field(
        default=None, description="Opens the conversations that have no system message of their own."
    )

    generation_batch_size: int = Field(default=64, gt=0, description="Completions sampled in a step.")
    num_generations: int = Field(default=8, gt=0, description="Of them, completions of each problem.")
    steps_per_generation: int = Field(
        default=1, gt=0, description="Updates in one pass over a step's completions, each from as many of them."
    )
    num_iterations: int = Field(default=1, gt=0, description="Passes over a step's completions.")
    max_completion_length: int = Field(default=256, gt=0, description="Most tokens of a completion.")
    temperature: float = Field(default=1.0, gt=0, description="Of sampling, and of the probabilities that are learned.")
    sampling_dtype: str = Field(
        default="auto", description="Of the policy while it samples: float32, bfloat16, or auto for the device's."
    )
    sampling_batch_size: int | None = Field(
        default=None, gt=0, description="Completions that are sampled at once; None leaves it to the engine."
    )

    use_vllm: bool = Field(
        default=False,
        description="Sample with vLLM, which takes the weights of each step; else with the embedded engine.",
    )
    vllm_arguments: tuple[str, ...] = Field(
        default=(), description="vLLM's own options, as after `vllm serve MODEL`, such as --gpu-memory-utilization 0.4."
    )

    rewards: tuple[RewardOptions, ...] = Field(default=(OWN,), min_length=1, description="What completions are given.")
    reward_weights: tuple[float, ...] | None = Field(
        default=None, description="Of each of the rewards in the sum; None: 1 each."
    )
    verifier_model: EngineConfig | None = Field(
        default=None, description="The model that scores, for the verifiers likelihood, reward_model and judge."
    )
    mask_truncated_completions: bool = Field(
        default=False, description="Learn nothing from completions that were cut off at max_completion_length."
    )

    eval_steps: int | None = Field(
        default=None, gt=0, description="Measure `accuracy` every so many steps; None: at the end only."
    )
    evaluation: HeldOut | None = Field(default=None, description="Held-out problems; None measures nothing.")
    num_completions_to_print: int = Field(default=4, ge=0, description="Completions of each step in samples.jsonl.")
    save_rollouts: bool = Field(
        default=False,
        description="Write all samples into data.jsonl, of the format `rollouts`, for reward models to learn from.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.task is None) == (not self.datasets):
            raise ValueError("give a task, or datasets")
        if self.generation_batch_size % self.num_generations:
            raise ValueError(
                f"generation_batch_size {self.generation_batch_size} is no multiple of num_generations "
                f"{self.num_generations}: it counts completions, and each problem has so many"
            )
        if self.steps_per_generation > self.generation_batch_size:
            raise ValueError(
                f"steps_per_generation {self.steps_per_generation} is more than the {self.generation_batch_size} "
                "completions of generation_batch_size, so that some updates would have none"
            )
        if self.vllm_arguments and not self.use_vllm:
            raise ValueError("vllm_arguments are for use_vllm: true")
        if self.reward_weights is not None and len(self.reward_weights) != len(self.rewards):
            raise ValueError(
                f"{len(self.rewards)} rewards have {len(self.reward_weights)} reward_weights; give each one"
            )
        if self.reward_weights is not None and min(self.reward_weights) <= 0:
            raise ValueError(f"reward_weights {list(self.reward_weights)} must be above 0: higher scores are better")
        if len({reward.name for reward in self.rewards}) < len(self.rewards):
            raise ValueError(f"rewards have the names {[reward.name for reward in self.rewards]}; give each its own")
        return self

    @property
    def problems_per_step(self) -> int:
        """How many different ones."""
        return self.generation_batch_size // self.num_generations

    @property
    def updates_per_step(self) -> int:
        """Of the weights; with more than one, later ones learn from samples of earlier weights."""
        return self.num_iterations * self.steps_per_generation

    @property
    def weights_of_rewards(self) -> tuple[float, ...]:
        """One for each reward."""
        return self.reward_weights or (1.0,) * len(self.rewards)

    def portable(self) -> dict[str, Any]:
        """Without what is the machine's."""
        known = super().portable()
        model = known["verifier_model"]
        if model is not None:
            known["verifier_model"] = {name: value for name, value in model.items() if name not in HOW_IT_RUNS}
        return known
