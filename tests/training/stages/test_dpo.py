"""Direct preference optimisation on a toy model, by data as people have it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from deliberate.training.datasets.sources import BadData
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.logps import TokenBatch, completion_logps
from deliberate.training.recording.metrics import read_lines
from deliberate.training.stages import dpo
from deliberate.training.stages.dpo import DPOConfig
from tests.engines.tiny_models import make_model

PAIRS = [
    {"prompt": "Say a colour.", "chosen": "red", "rejected": "seven"},
    {"prompt": "Say a colour.", "chosen": "blue", "rejected": "iron"},
    {"prompt": "Say one more.", "chosen": "green", "rejected": "tin"},
    {"prompt": "Say the last.", "chosen": "violet", "rejected": "nine"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), "llama")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(model: Path, tmp_path: Path, source: Path, data_format: str = "trl", **changes: Any) -> DPOConfig:
    fields: dict[str, Any] = {
        "name": "toy",
        "output_dir": tmp_path / "out",
        "model_name_or_path": str(model),
        "datasets": [{"format": data_format, "source": str(source)}],
        "max_steps": 12,
        "warmup_steps": 0,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 2,
        "logging_steps": 1,
        "save_steps": 4,
    }
    return DPOConfig.model_validate({**fields, **changes})


def log_ratio(folder: Path, prompt: str, chosen: str, rejected: str) -> float:
    """By how much a model prefers one completion to the other, in nats."""
    tokenizer = ChatTokenizer(folder)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    prompts = [tokenizer.conversation([{"role": "user", "content": prompt}])] * 2
    completions = [[*tokenizer.encode(text), tokenizer.end_id] for text in (chosen, rejected)]
    batch = TokenBatch.of(prompts, completions, tokenizer.pad_id, torch.device("cpu"))
    better, worse = completion_logps(loaded, batch).logps.sum(-1).tolist()
    return better - worse


def test_the_policy_comes_to_prefer_what_was_chosen(model: Path, tmp_path: Path) -> None:
    wanted = config(model, tmp_path, write(tmp_path / "pairs.jsonl", PAIRS))
    artifact = dpo.run(wanted)
    for pair in PAIRS:
        assert log_ratio(wanted.output_dir, **pair) > log_ratio(model, **pair) + 1
    lines = read_lines(wanted.output_dir)
    assert lines[0]["loss"] == pytest.approx(0.6931, abs=1e-4), "at first policy and reference are the same"
    assert lines[0]["rewards/margins"] == 0
    assert lines[-1]["rewards/accuracies"] == 1
    assert artifact.metrics["train_rewards/accuracies"] == 1
    assert dpo.run(wanted) == artifact


@pytest.mark.parametrize(
    "changes", [{"loss_type": "ipo"}, {"label_smoothing": 0.1}, {"rpo_alpha": 1.0}, {"lora": {"r": 4}}]
)
def test_variants_learn_the_same(model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    wanted = config(model, tmp_path, write(tmp_path / "pairs.jsonl", PAIRS), **changes)
    dpo.run(wanted)
    assert read_lines(wanted.output_dir)[-1]["rewards/margins"] > 0


ROLLOUTS = [
    {
        "id": 1,
        "prompt": "Say a colour.",
        "candidates": ["red", "seven", {"text": "re", "finished": False}, "iron", "red"],
        "scores": [1, 0, 1, None, 1],
    },
    {"id": 2, "prompt": "Say a fruit.", "candidates": ["iron", "seven"], "scores": [0, 0]},
]


def test_groups_of_rollouts_give_pairs(model: Path, tmp_path: Path) -> None:
    wanted = config(model, tmp_path, write(tmp_path / "data.jsonl", ROLLOUTS), "rollouts")
    dpo.run(wanted)
    pair = {"prompt": "Say a colour.", "chosen": "red", "rejected": "seven"}
    assert log_ratio(wanted.output_dir, **pair) > log_ratio(model, **pair) + 1


def test_groups_without_a_difference_are_refused(model: Path, tmp_path: Path) -> None:
    wanted = config(model, tmp_path, write(tmp_path / "data.jsonl", ROLLOUTS[1:]), "rollouts")
    with pytest.raises(BadData, match="holds no pair: no group has two completions of different worth"):
        dpo.run(wanted)
    assert not wanted.output_dir.exists()


def test_self_play_prefers_the_solutions(model: Path, tmp_path: Path) -> None:
    solutions = [{"id": "1", "prompt": "Say a colour.", "completion": "blue"}]
    source = write(tmp_path / "data.jsonl", [{**ROLLOUTS[0], "id": "1"}])
    given = [{"format": "trl", "source": str(write(tmp_path / "solutions.jsonl", solutions))}]
    wanted = config(model, tmp_path, source, "rollouts", solutions=given, pairs_per_prompt=2)
    dpo.run(wanted)
    for rejected in ("red", "seven"):
        pair = {"prompt": "Say a colour.", "chosen": "blue", "rejected": rejected}
        assert log_ratio(wanted.output_dir, **pair) > log_ratio(model, **pair) + 1


def test_self_play_without_the_solution_is_refused(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "data.jsonl", ROLLOUTS)
    solutions = [{"id": "9", "prompt": "Say a colour.", "completion": "blue"}]
    given = [{"format": "trl", "source": str(write(tmp_path / "solutions.jsonl", solutions))}]
    with pytest.raises(BadData, match=r"data\.jsonl:1 has the id '1', of which no problem with a solution is given"):
        dpo.run(config(model, tmp_path, source, "rollouts", solutions=given))


def test_other_rows_are_refused(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", [{"prompt": "Say a colour.", "completion": "red"}])
    with pytest.raises(BadData, match=r"rows\.jsonl:1 is a ProblemRow, but this stage needs a PreferenceRow"):
        dpo.run(config(model, tmp_path, source))


def test_options_that_do_not_fit_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="ipo has no label_smoothing"):
        config(model, tmp_path, tmp_path, loss_type="ipo", label_smoothing=0.1)


def test_a_killed_run_ends_with_the_same_weights(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "pairs.jsonl", PAIRS)
    whole = dpo.run(config(model, tmp_path, source, output_dir=tmp_path / "whole"))
    broken = config(model, tmp_path, source, output_dir=tmp_path / "broken")
    script = (
        "import os, signal, sys\n"
        "from deliberate.training.stages import dpo\n"
        "config = dpo.DPOConfig.model_validate_json(sys.argv[1])\n"
        "dpo.run(config, lambda line: line.step == 7 and os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    command = [sys.executable, "-c", script, broken.model_dump_json()]
    killed = subprocess.run(command, timeout=110, check=False)
    assert killed.returncode == -signal.SIGKILL
    steps: list[int] = []
    resumed = dpo.run(broken, lambda line: steps.append(line.step))
    assert steps == list(range(5, 13))
    assert resumed.weights_hash == whole.weights_hash
    assert resumed.data_hash == whole.data_hash
    assert [line["step"] for line in read_lines(broken.output_dir)] == list(range(1, 13))
