"""What the stage `grpo` is told, and the field's variants of it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from deliberate.training.objectives.advantages import ScaleRewards
from deliberate.training.objectives.policy_gradient import ImportanceSamplingLevel
from deliberate.training.objectives.rollout_correction import ImportanceSamplingMode
from deliberate.training.policy_optimization.config import SampledConfig

Variant = Literal["grpo", "dr_grpo", "dapo", "gspo"]

PRESETS: Mapping[Variant, Mapping[str, Any]] = {
    "grpo": {},
    "dr_grpo": {"scale_rewards": "none", "loss_type": "dr_grpo", "beta": 0.0},
    "dapo": {
        "epsilon_high": 0.28,
        "loss_type": "dapo",
        "beta": 0.0,
        "filter_groups": True,
        "mask_truncated_completions": True,
    },
    "gspo": {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4, "beta": 0.0},
}
"""What a variant changes of the defaults; what is configured besides goes before it. The papers: DeepSeekMath
(arXiv:2402.03300), Dr. GRPO (arXiv:2503.20783), DAPO (arXiv:2503.14476), GSPO (arXiv:2507.18071)."""


class GRPOConfig(SampledConfig):
    """One run of group relative policy optimisation. The defaults are the objective of the DeepSeek papers."""

    no_effect: ClassVar[frozenset[str]] = SampledConfig.no_effect | {"variant", "max_steps_without_signal"}

    variant: Variant = Field(
        default="grpo",
        description="Other defaults: grpo (DeepSeekMath); dr_grpo (scale_rewards none, loss_type dr_grpo, beta 0); "
        "dapo (epsilon_high 0.28, loss_type dapo, beta 0, filter_groups, mask_truncated_completions); gspo "
        "(importance_sampling_level sequence, epsilon 3e-4, epsilon_high 4e-4, beta 0).",
    )
    beta: float = Field(default=0.04, ge=0, description="Weight of the divergence (k3) from the reference; 0: no copy.")
    epsilon: float = Field(default=0.2, gt=0, description="The ratio of probabilities is clipped at 1 - epsilon,")
    epsilon_high: float | None = Field(
        default=None, gt=0, description="and at 1 + epsilon_high; None: 1 + epsilon. DAPO's clip-higher: 0.28."
    )
    importance_sampling_level: ImportanceSamplingLevel = Field(
        default="token", description="The ratio is each token's, or the whole completion's: sequence (GSPO)."
    )
    loss_type: Literal["grpo", "dapo", "dr_grpo"] = Field(
        default="grpo",
        description="Mean over the tokens of a completion, then over completions: grpo; over all tokens: dapo; sum "
        "over max_completion_length: dr_grpo.",
    )
    scale_rewards: ScaleRewards = Field(
        default="group", description="Advantages are divided by the std of the group's rewards, the batch's, or not."
    )
    best_of_n: int | None = Field(
        default=None, gt=0, description="Train a policy that is served as the best of so many samples (PKPO)."
    )
    importance_sampling_correction: bool = Field(
        default=False,
        description="Weigh tokens by the trainer's probability over the sampling engine's, which rounds differently.",
    )
    importance_sampling_mode: ImportanceSamplingMode = Field(
        default="token_truncate", description="Ratios of tokens or of sequences, truncated at the cap or masked beyond."
    )
    importance_sampling_cap: float = Field(default=3.0, gt=0, description="Greatest ratio of that correction.")
    filter_groups: bool = Field(
        default=False, description="Dynamic sampling: replace groups whose completions are all rewarded alike,"
    )
    max_num_gen_batches: int = Field(
        default=10, gt=0, description="in at most so many batches of samples; then the step has fewer groups."
    )
    sync_ref_model: bool = Field(default=False, description="Iterative GRPO: replace the reference by the policy,")
    ref_model_sync_steps: int = Field(default=512, gt=0, description="every so many steps,")
    ref_model_mixup_alpha: float = Field(
        default=1.0, gt=0, le=1, description="wholly at 1, or by this share of the way."
    )
    max_steps_without_signal: int = Field(
        default=20, gt=0, description="The run ends with a message after so many steps that taught nothing."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_variant(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = cast(dict[str, Any], given)
        return {**PRESETS.get(fields.get("variant", "grpo"), {}), **fields}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.num_generations < 2:
            raise ValueError("num_generations 1: a completion is compared to the others of its group; take 2 or more")
        if self.best_of_n is not None:
            self._check_best_of_n(self.best_of_n)
        if self.sync_ref_model and self.beta == 0:
            raise ValueError("sync_ref_model replaces the reference, and with beta 0 there is none: set beta above 0")
        if self.importance_sampling_correction and self.temperature != 1:
            raise ValueError(
                "importance_sampling_correction compares with the engine's log-probabilities, which are those at "
                f"temperature 1, not {self.temperature:g}: set temperature to 1, or leave the correction out"
            )
        return self

    def _check_best_of_n(self, k: int) -> None:
        if k > self.num_generations:
            raise ValueError(f"best_of_n {k} is more than num_generations {self.num_generations}")
        if self.scale_rewards != "none":
            raise ValueError("best_of_n has a scale of its own: set scale_rewards to none")
        if all(reward.supervision == "process" for reward in self.rewards):
            raise ValueError("best_of_n is for rewards of outcomes, and all rewards here are of steps")
