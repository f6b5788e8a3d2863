"""GRPO on a toy policy: it learns, it can be killed, it says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from deliberate.training.artifact import file_hash
from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import RolloutRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.policy_optimization.grpo_learner import GRPOLearner
from deliberate.training.policy_optimization.signal import NoSignal
from deliberate.training.recording.metrics import read_lines
from deliberate.training.stages import grpo
from tests.engines.tiny_models import make_model
from tests.engines.with_vllm import EAGER, HEADS, NEEDS_VLLM, SMALL, STARTS_VLLM
from tests.training.policy_optimization.toy_policies import (
    LETTER,
    PROMPTS,
    grpo_config,
    make_policy,
    make_problems,
    recorded,
)
from tests.training.stages.toy_judges import kill_after_checkpoint


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_problems(tmp_path_factory.mktemp("problems") / "problems.jsonl")


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_lines(folder)]


def rollouts(folder: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """What data.jsonl says but for log-probabilities, and these: how they are rounded depends on what runs beside."""
    rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    return rows, [value for row in rows for candidate in row["candidates"] for value in candidate.pop("logprobs")]


def test_the_policy_learns_what_is_rewarded(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = grpo_config(policy, problems, tmp_path / "out", max_steps=12, beta=0.0, save_rollouts=True)
    artifact = grpo.run(config)
    lines = read_lines(config.output_dir)
    assert lines[0]["reward"] < 0.6
    assert lines[-1]["reward"] > 0.9
    shown = {"reward_std", "rewards/own", "entropy", "completion_length", "clip_fraction", "truncated", "undecided"}
    assert shown | {"groups_without_signal", "sampling_seconds", "training_seconds"} <= lines[0].keys()
    assert artifact.weights_hash == file_hash(config.output_dir / "model.safetensors")
    AutoModelForCausalLM.from_pretrained(config.output_dir)  # pyright: ignore[reportUnknownMemberType]
    assert grpo.run(config) == artifact

    samples = [json.loads(line) for line in (config.output_dir / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 12 * 4
    assert samples[0]["prompt"] in PROMPTS
    assert samples[0]["rewards"] == {"own": samples[0]["reward"]}

    rollouts = read_dataset(DatasetConfig(format="rollouts", source=str(config.output_dir / "data.jsonl")))
    rows = rollouts.of(RolloutRow)
    assert len(rows) == 12 * 4
    assert {sample.score for row in rows for sample in row.samples} == {0, 1}


VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {"num_iterations": 2, "steps_per_generation": 2},
    "dr_grpo": {"variant": "dr_grpo", "num_iterations": 2},
    "dapo": {"variant": "dapo", "mask_truncated_completions": False, "steps_per_generation": 2},
    "gspo": {"variant": "gspo", "num_iterations": 2},
    "iterative": {"sync_ref_model": True, "ref_model_sync_steps": 2, "num_iterations": 2},
    "best of 4": {"best_of_n": 4, "scale_rewards": "none", "beta": 0.0, "num_iterations": 2},
    "corrected": {"importance_sampling_correction": True, "num_iterations": 2},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_equal_seeds_give_equal_losses(policy: Path, problems: Path, tmp_path: Path, name: str) -> None:
    config = grpo_config(policy, problems, tmp_path / "out", max_steps=3, **VARIANTS[name])
    grpo.run(config)
    assert losses(config.output_dir) == pytest.approx(recorded(f"grpo: {name}", losses(config.output_dir)), abs=2e-4)


def test_a_killed_run_ends_as_if_it_had_never_been(policy: Path, problems: Path, tmp_path: Path) -> None:
    changes = {**VARIANTS["iterative"], "max_steps": 6, "save_rollouts": True}
    whole = grpo.run(grpo_config(policy, problems, tmp_path / "whole", **changes))
    config = grpo_config(policy, problems, tmp_path / "killed", **changes)
    kill_after_checkpoint("grpo", config)
    again = grpo.run(config)
    assert (again.weights_hash, again.data_hash) == (whole.weights_hash, whole.data_hash)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert (tmp_path / "killed" / "samples.jsonl").read_bytes() == (tmp_path / "whole" / "samples.jsonl").read_bytes()
    (rows, logprobs), (expected, near) = rollouts(tmp_path / "killed"), rollouts(tmp_path / "whole")
    assert rows == expected
    assert logprobs == pytest.approx(near, abs=1e-5)


def test_iterative_grpo_renews_its_reference(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = grpo_config(policy, problems, tmp_path / "out", sync_ref_model=True, ref_model_sync_steps=2)
    grpo.run(config)
    divergences = [line["kl"] for line in read_lines(config.output_dir)]
    assert divergences[0] == pytest.approx(0, abs=1e-6)
    assert divergences[1] > 1e-3
    assert divergences[2] == pytest.approx(0, abs=1e-6)
    assert divergences[3] > 1e-3


def test_dynamic_sampling_replaces_groups_that_teach_nothing(policy: Path, problems: Path, tmp_path: Path) -> None:
    changes = {"filter_groups": True, "num_generations": 2, "generation_batch_size": 16, "beta": 0.0, "max_steps": 1}
    few = grpo_config(policy, problems, tmp_path / "few", max_num_gen_batches=1, **changes)
    many = grpo_config(policy, problems, tmp_path / "many", max_num_gen_batches=20, **changes)
    for config, complete in ((few, False), (many, True)):
        with GRPOLearner(config) as learner:
            found = learner.rounds.sample(0, useful_only=True, attempts=config.max_num_gen_batches)
            assert all(map(learner.rounds.rewards.teaches, found.groups))
            assert (len(found.groups) == 8) == complete
            assert found.values["groups_in_vain"] == len(found.drawn) - len(found.groups) > 0
            assert found.values["groups_without_signal"] > 0, "of all that was sampled"


def test_accuracy_is_measured_on_held_out_problems(policy: Path, tmp_path: Path) -> None:
    config = grpo_config(
        policy,
        tmp_path,
        tmp_path / "out",
        datasets=[],
        task="word_problems",
        generation_batch_size=4,
        num_generations=2,
        max_steps=3,
        eval_steps=2,
        evaluation={"name": "word_problems", "count": 2},
    )
    artifact = grpo.run(config)
    assert [line.get("accuracy") for line in read_lines(config.output_dir)] == [0, None, 0]
    assert artifact.metrics["accuracy"] == 0


@pytest.mark.parametrize(("pattern", "advice"), [("never!", "too hard"), ("", "too easy")])
def test_a_run_that_learns_nothing_says_so(policy: Path, tmp_path: Path, pattern: str, advice: str) -> None:
    problems = make_problems(tmp_path / "p.jsonl", verifier={"kind": "regex", "pattern": pattern})
    config = grpo_config(policy, problems, tmp_path / "out", max_steps=9, max_steps_without_signal=3)
    with pytest.raises(NoSignal, match=rf"3 steps up to step 3 taught nothing: .*p.jsonl:\d.*{advice}"):
        grpo.run(config)


def test_what_nobody_can_judge_is_not_taken_for_wrong(policy: Path, tmp_path: Path) -> None:
    problems = make_problems(tmp_path / "p.jsonl", verifier="calculator")
    config = grpo_config(policy, problems, tmp_path / "out", max_steps_without_signal=2, beta=0.0)
    with pytest.raises(NoSignal, match=r"decided nothing .*no equation to check"):
        grpo.run(config)
    assert read_lines(config.output_dir)[0]["undecided"] == 1
    assert "reward" not in read_lines(config.output_dir)[0]


def test_steps_without_signal_leave_the_weights_alone(policy: Path, tmp_path: Path) -> None:
    problems = make_problems(tmp_path / "p.jsonl", verifier={"kind": "regex", "pattern": "never!"})
    config = grpo_config(policy, problems, tmp_path / "out", max_steps=2, beta=0.0, weight_decay=0.1)
    grpo.run(config)
    before: Any = AutoModelForCausalLM.from_pretrained(policy)  # pyright: ignore[reportUnknownMemberType]
    after: Any = AutoModelForCausalLM.from_pretrained(config.output_dir)  # pyright: ignore[reportUnknownMemberType]
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])


WRONG_ROWS: dict[str, dict[str, Any]] = {
    "no verifier": {"verifier": None},
    "cannot be read": {"verifier": {"kind": "regex", "pattern": "("}},
    "'prompt'": {"prompt": 7},
}


@pytest.mark.parametrize("message", WRONG_ROWS)
def test_wrong_data_is_told_before_anything_is_written(policy: Path, tmp_path: Path, message: str) -> None:
    problems = make_problems(tmp_path / "problems.jsonl", **{"verifier": LETTER, **WRONG_ROWS[message]})
    with pytest.raises(BadData, match=rf"problems.jsonl:1 ?.*{message}"):
        grpo.run(grpo_config(policy, problems, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@NEEDS_VLLM
@STARTS_VLLM
def test_vllm_samples_with_the_weights_of_each_step(tmp_path: Path) -> None:
    """What it samples gets better as the policy does."""
    policy = make_model(tmp_path / "policy", "llama", scale=2.0, **HEADS)
    problems = make_problems(tmp_path / "problems.jsonl")
    config = grpo_config(
        policy, problems, tmp_path / "out", max_steps=10, beta=0.0, use_vllm=True, vllm_arguments=[*SMALL, *EAGER]
    )
    grpo.run(config)
    lines = read_lines(config.output_dir)
    assert lines[0]["reward"] < 0.6
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
