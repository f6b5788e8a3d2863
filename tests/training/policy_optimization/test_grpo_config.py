"""Variants, and configurations that make no sense."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.training.policy_optimization.grpo_config import PRESETS, GRPOConfig, Variant
from tests.training.policy_optimization.toy_policies import fields

BASE: dict[str, Any] = fields(Path("policy"), Path("problems.jsonl"), Path("out"))


def test_the_default_is_the_objective_of_the_papers() -> None:
    config = GRPOConfig(**BASE)
    assert (config.beta, config.epsilon, config.epsilon_high) == (0.04, 0.2, None)
    assert (config.loss_type, config.scale_rewards, config.importance_sampling_level) == ("grpo", "group", "token")
    assert (config.num_iterations, config.filter_groups, config.mask_truncated_completions) == (1, False, False)


@pytest.mark.parametrize("variant", PRESETS)
def test_a_variant_sets_what_its_paper_changes(variant: Variant) -> None:
    plain, changed = GRPOConfig(**BASE).model_dump(), GRPOConfig(**BASE, variant=variant).model_dump()
    different = {name: value for name, value in changed.items() if value != plain[name] and name != "variant"}
    assert different == PRESETS[variant]


def test_what_is_configured_goes_before_the_variant() -> None:
    assert GRPOConfig(**BASE, variant="dapo", beta=0.01, filter_groups=False).beta == 0.01


def test_a_variant_is_the_same_run_as_its_settings_written_out() -> None:
    assert GRPOConfig(**BASE, variant="gspo").portable() == GRPOConfig(**BASE, **PRESETS["gspo"]).portable()


WRONG: dict[str, dict[str, Any]] = {
    "give a task, or datasets": {"datasets": []},
    "generation_batch_size 30 is no multiple of num_generations 8": {"generation_batch_size": 30},
    "steps_per_generation 33 is more than the 32": {"steps_per_generation": 33},
    "2 rewards have 1 reward_weights": {"rewards": [{"name": "a"}, {"name": "b"}], "reward_weights": [1]},
    "give each its own": {"rewards": [{"name": "a"}, {"name": "a"}]},
    "must be above 0": {"reward_weights": [-1]},
    "take 2 or more": {"num_generations": 1},
    "best_of_n 9 is more than num_generations 8": {"best_of_n": 9, "scale_rewards": "none"},
    "set scale_rewards to none": {"best_of_n": 4},
    "best_of_n is for rewards of outcomes": {
        "best_of_n": 4,
        "scale_rewards": "none",
        "rewards": [{"name": "a", "supervision": "process"}],
    },
    "set beta above 0": {"sync_ref_model": True, "beta": 0},
    "set temperature to 1": {"importance_sampling_correction": True, "temperature": 0.8},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_configuration_that_makes_no_sense_is_refused(message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GRPOConfig(**{**BASE, **WRONG[message]})
