"""A policy of random weights that writes bytes, and what it is rewarded for: a small letter."""

import json
import os
from pathlib import Path
from typing import Any

from deliberate.training.policy_optimization.grpo_config import GRPOConfig
from deliberate.training.policy_optimization.ppo_config import PPOConfig
from tests.engines.tiny_models import make_model

PROMPTS = ("Say a letter.", "Another one!", "Once more?", "And the last.")
LETTER = {"kind": "regex", "pattern": "[a-z]"}


def make_policy(folder: Path) -> Path:
    """Of under 100k parameters."""
    return make_model(folder, "llama", scale=2.0)


def make_problems(file: Path, **changes: Any) -> Path:
    """Each row has its verifier."""
    rows = [{"id": str(i), "prompt": prompt, "verifier": LETTER, **changes} for i, prompt in enumerate(PROMPTS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def fields(policy: Path, problems: Path, output: Path) -> dict[str, Any]:
    """A quick run."""
    return {
        "name": "toy",
        "output_dir": output,
        "model_name_or_path": str(policy),
        "datasets": [{"format": "trl", "source": str(problems)}],
        "max_steps": 4,
        "learning_rate": 1e-2,
        "generation_batch_size": 32,
        "num_generations": 8,
        "max_completion_length": 4,
        "per_device_train_batch_size": 16,
        "save_steps": 2,
    }


def grpo_config(policy: Path, problems: Path, output: Path, **changes: Any) -> GRPOConfig:
    return GRPOConfig.model_validate({**fields(policy, problems, output), **changes})


def ppo_config(policy: Path, problems: Path, output: Path, **changes: Any) -> PPOConfig:
    return PPOConfig.model_validate({**fields(policy, problems, output), "num_iterations": 2, **changes})


GOLDEN = Path(__file__).parent / "golden-policies.json"


def recorded(name: str, values: list[float]) -> list[float]:
    """What the file of golden losses says; written anew where DELIBERATE_GOLDEN is set."""
    known: dict[str, list[float]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("DELIBERATE_GOLDEN"):
        known[name] = [round(value, 6) for value in values]
        GOLDEN.write_text(json.dumps(known, indent=1) + "\n")
    return known[name]
