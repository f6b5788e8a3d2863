"""`deliberate train STAGE` as a user types it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deliberate.cli.main import app
from deliberate.models import bundled
from deliberate.training.artifact import Artifact
from deliberate.training.stages import stage_names

FIELDS = {
    "name": "toy",
    "tokenizer": str(bundled("tiny")),
    "model": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
    "task": "word_problems",
    "max_steps": 4,
    "per_device_train_batch_size": 2,
    "logging_steps": 2,
}


def train(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output, and what people are told on one line."""
    result = CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "sft.yaml"
    file.write_text(yaml.safe_dump({**FIELDS, "output_dir": str(tmp_path / "toy")}))
    return file


def test_a_stage_runs_from_a_file_with_settings_over_it(config: Path, tmp_path: Path) -> None:
    status, shown, told = train("sft", "--config", config, "--set", "max_steps=2", "--set", "model.hidden_size=8")
    assert status == 0, told
    artifact = Artifact.load(tmp_path / "toy")
    assert artifact.config["max_steps"] == 2
    assert artifact.config["model"] == {**FIELDS["model"], "hidden_size": 8}  # type: ignore[dict-item]
    assert artifact.command == f"deliberate train sft --config {config} --set max_steps=2 --set model.hidden_size=8"
    assert "train_loss" in shown
    assert [json.loads(line)["step"] for line in (tmp_path / "toy" / "metrics.jsonl").open()] == [2]


def test_the_folder_of_another_run_is_left_alone(config: Path) -> None:
    assert train("sft", "--config", config, "--set", "max_steps=1")[0] == 0
    status, _, told = train("sft", "--config", config, "--set", "max_steps=2")
    assert status == 2
    assert "remove it or choose another output_dir" in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["max_stepz=2"], "max_stepz: Extra inputs are not permitted"),
        (["max_steps=0"], "max_steps: Input should be greater than 0 (got 0)"),
        (["max_steps"], "--set max_steps has no value"),
        (["task=null"], "give a task, or datasets"),
        (["task=chess"], "unknown task 'chess'; the tasks are:"),
        (["model={"], "--set model={ is not YAML"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_in_a_line(config: Path, settings: list[str], told: str) -> None:
    options = [option for setting in settings for option in ("--set", setting)]
    status, _, said = train("sft", "--config", config, *options)
    assert status == 2
    assert told in said


def test_stages_that_make_data_refuse_several_processes(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, said = train("export", "--config", config)
    assert status == 2
    assert "'export' runs in one process, and 2 were started" in said


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("- 1\n")
    for path, told in ((file, "holds no fields"), (tmp_path / "none.yaml", "cannot be read")):
        status, _, said = train("sft", "--config", path)
        assert status == 2
        assert told in said


def test_help_lists_the_stages_and_their_fields() -> None:
    listed = train("--help")[1]
    assert all(f"│ {name} " in listed for name in stage_names())
    fields = train("sft", "--help")[1]
    assert "max_steps: Length of the run." in fields
    assert "learning_rate (0.002)" in fields
