"""Two processes train as one does: the same losses and weights, up to the rounding of sums in another order."""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from safetensors.torch import load_file

from deliberate.training.recording.metrics import read_lines
from deliberate.training.stages import load_stage
from tests.training.optimization.several import run_by_two, torchrun, workers
from tests.training.policy_optimization.toy_policies import fields, make_policy, make_problems
from tests.training.stages.toy_judges import dataset, make_toy, rollouts, stepwise, write_lines

pytestmark = pytest.mark.timeout(600)

QUICK: Mapping[str, Any] = {
    "name": "toy",
    "max_steps": 4,
    "warmup_steps": 0,
    "learning_rate": 1e-3,
    "per_device_train_batch_size": 5,
    "logging_steps": 1,
    "save_steps": 2,
    "save_total_limit": None,
}
SAMPLED: Mapping[str, Any] = {"steps_per_generation": 2, "per_device_train_batch_size": 3, "learning_rate": 1e-3}
ALIKE = [{"prompt": f"Say {n}.", "chosen": "red" * n, "rejected": "iron"} for n in range(1, 6)]

CONFIGS = Path(__file__).parents[3] / "deploy" / "training"

Job = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """By a name: a stage, and its fields without a folder."""
    folder = tmp_path_factory.mktemp("data")
    toy, policy = str(make_toy(folder / "toy")), make_policy(folder / "policy")
    steps = dataset(stepwise(folder / "steps.jsonl"), "trl")
    answers = dataset(rollouts(folder / "rollouts.jsonl"), "rollouts")
    pairs = dataset(write_lines(folder / "pairs.jsonl", ALIKE), "trl")
    sampled = {**fields(policy, make_problems(folder / "problems.jsonl"), folder), **QUICK, **SAMPLED}
    learned = {**QUICK, "model_name_or_path": toy}
    split = {"optim": "adamw", "fsdp": True}
    return {
        "sft": ("sft", {**learned, "task": "word_problems"}),
        "sft, split": ("sft", {**learned, "task": "word_problems", **split}),
        "prm": ("prm", {**learned, "datasets": [steps], "form": "marks", "freeze_trunk_steps": 1}),
        "orm": ("orm", {**learned, "datasets": [answers], "num_generations": 4, "per_device_train_batch_size": 8}),
        "orm, split": ("orm", {**learned, "datasets": [answers], **split, "gradient_checkpointing": True}),
        "dpo": ("dpo", {**learned, "model_name_or_path": str(policy), "datasets": [pairs]}),
        "grpo": ("grpo", sampled),
        "grpo, split": ("grpo", {**sampled, **split, "sync_ref_model": True, "ref_model_sync_steps": 2}),
    }


NAMES = ["sft", "sft, split", "prm", "orm", "orm, split", "dpo", "grpo", "grpo, split"]


@pytest.fixture(scope="module")
def alone(jobs: dict[str, Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of what one process has trained."""
    folder = tmp_path_factory.mktemp("alone")
    for name, (stage, known) in jobs.items():
        run(stage, {**known, "output_dir": folder / name})
    return folder


@pytest.fixture(scope="module")
def together(jobs: dict[str, Job], alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of what two processes have trained; `resumed` are from checkpoints of one process."""
    folder = tmp_path_factory.mktemp("together")
    begun = {f"{name}, resumed": jobs[name] for name in ("sft", "sft, split")}
    for name in begun:
        shutil.copytree(alone / name.removesuffix(", resumed") / "checkpoint-2", folder / name / "checkpoint-2")
    run_by_two((stage, {**known, "output_dir": folder / name}) for name, (stage, known) in {**jobs, **begun}.items())
    return folder


def run(stage: str, known: dict[str, Any]) -> None:
    loaded = load_stage(stage)
    loaded.run(loaded.config.model_validate(known), lambda _: None)


def assert_alike(found: Path, expected: Path) -> None:
    """Rounding grows with every step, most where AdamW divides small gradients by small gradients."""
    for line, other in zip(read_lines(found), read_lines(expected)[-len(read_lines(found)) :], strict=True):
        for name in other.keys() - {"seconds", "tokens_per_second", "sampling_seconds", "training_seconds"}:
            assert line[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4), name
    weights, others = (load_file(folder / "model.safetensors") for folder in (found, expected))
    assert weights.keys() == others.keys()
    for name, value in others.items():
        assert (weights[name] - value).abs().max() < 2e-5, name


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one(name: str, alone: Path, together: Path) -> None:
    assert len(read_lines(together / name)) == 4
    assert_alike(together / name, alone / name)


@pytest.mark.parametrize("name", ["sft", "sft, split"])
def test_two_processes_go_on_where_one_was(name: str, alone: Path, together: Path) -> None:
    assert [line["step"] for line in read_lines(together / f"{name}, resumed")] == [3, 4]
    assert_alike(together / f"{name}, resumed", alone / name)


@pytest.mark.parametrize("name", ["sft", "sft, split", "grpo, split"])
def test_one_process_goes_on_where_two_were(
    name: str, jobs: dict[str, Job], alone: Path, together: Path, tmp_path: Path
) -> None:
    shutil.copytree(together / name / "checkpoint-2", tmp_path / "checkpoint-2")
    stage, known = jobs[name]
    run(stage, {**known, "output_dir": tmp_path})
    assert_alike(tmp_path, alone / name)


def test_both_processes_go_on_after_one_was_killed(jobs: dict[str, Job], tmp_path: Path) -> None:
    file, folder = tmp_path / "sft.yaml", tmp_path / "killed"
    known = {**jobs["sft"][1], "max_steps": 60}
    file.write_text(yaml.safe_dump({**known, "output_dir": str(folder)}))
    launcher = torchrun("sft", "--config", file)
    while not list(folder.glob("checkpoint-*")):
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.01)
    os.kill(workers(launcher)[-1], signal.SIGKILL)
    launcher.communicate()
    assert launcher.returncode != 0
    assert not (folder / "deliberate.json").exists(), "it had not finished"

    again = torchrun("sft", "--config", file)
    shown, told = again.communicate()
    assert again.returncode == 0, told
    assert shown.count("train_loss") == 1, "the main process alone says what came of it"
    run("sft", {**known, "output_dir": tmp_path / "alone"})
    assert [line["step"] for line in read_lines(folder)] == list(range(1, 61))
    assert [line["loss"] for line in read_lines(folder)] == pytest.approx(
        [line["loss"] for line in read_lines(tmp_path / "alone")], rel=0.02
    )


@pytest.mark.parametrize(("changes", "told"), [({"optim": "muon"}, "set optim to adamw"), ({"lora": {}}, "with lora")])
def test_what_cannot_be_split_is_said(jobs: dict[str, Job], changes: dict[str, Any], told: str) -> None:
    stage, known = jobs["sft, split"]
    with pytest.raises(ValidationError, match=told):
        load_stage(stage).config.model_validate({**known, "output_dir": "none", **changes})


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_configurations_in_deploy_are_those_of_their_stages(file: Path) -> None:
    load_stage(file.stem.partition("-")[0]).config.model_validate(yaml.safe_load(file.read_text()))
