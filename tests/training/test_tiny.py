from pathlib import Path

import pytest
from typer.testing import CliRunner

from deliberate.training import sft, tiny
from deliberate.training.artifact import Artifact
from deliberate.training.commands import app
from deliberate.training.config import ModelShape, SFTConfig
from deliberate.training.progress import run_side_by_side
from deliberate.training.tokenizer import make_tokenizer


def test_the_command_makes_both_models_from_nothing(tmp_path: Path) -> None:
    output, work = tmp_path / "models", tmp_path / "work"
    options = ["--policy-steps", "2", "--verifier-steps", "3", "--problems", "2", "--no-side-by-side"]
    result = CliRunner().invoke(app, ["tiny", "--output", str(output), "--work", str(work), *options])

    assert result.exit_code == 0, result.output
    assert "pass@1" in result.output
    assert not work.exists()
    policy, verifier = Artifact.load(output / "tiny"), Artifact.load(output / "tiny-verifier")
    assert policy.verifier == "tiny-verifier"
    assert verifier.verifier is None
    assert policy.command == verifier.command == "deliberate train tiny --policy-steps 2 --verifier-steps 3"
    assert {"pass@1", "majority@16", "best_of_16_verifier", "within_problem_auc"} <= set(policy.metrics)
    assert "pass@1" in verifier.metrics
    card = (output / "tiny" / "README.md").read_text()
    assert policy.command in card
    assert policy.data_hash in card
    assert not list(output.glob("*/checkpoint-*"))


def test_the_recipe_by_default_is_the_one_that_made_the_bundled_models(tmp_path: Path) -> None:
    from deliberate.models import bundled

    for config in tiny.configs(tmp_path, tiny.POLICY_STEPS, tiny.VERIFIER_STEPS, seed=0):
        made = Artifact.load(bundled(config.name))
        assert made.config == sft.portable(config)
        assert made.command == config.command == "deliberate train tiny"


def test_runs_side_by_side_are_the_same_as_alone(tmp_path: Path) -> None:
    make_tokenizer(tmp_path / "tokenizer", "word_problems", seed=0, problems=100, vocab_size=400)
    configs = [
        SFTConfig(
            name=name,
            output_dir=tmp_path / name,
            tokenizer=tmp_path / "tokenizer",
            model=ModelShape(
                hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
            ),
            task="word_problems",
            seed=seed,
            max_steps=4,
            per_device_train_batch_size=2,
            logging_steps=2,
        )
        for name, seed in (("left", 0), ("right", 1))
    ]
    together = run_side_by_side(configs)
    assert [artifact.name for artifact in together] == ["left", "right"]
    alone = sft.run(configs[1].model_copy(update={"output_dir": tmp_path / "alone"}))
    assert together[1].weights_hash == alone.weights_hash


def test_the_command_documents_its_options() -> None:
    result = CliRunner().invoke(app, ["tiny", "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for option in ("--output", "--work", "--policy-steps", "--verifier-steps", "--seed", "--problems"):
        assert option in result.output


@pytest.mark.parametrize("option", [["--policy-steps", "0"], ["--problems", "0"], ["--minutes", "3"]])
def test_bad_options_are_refused(option: list[str]) -> None:
    assert CliRunner().invoke(app, ["tiny", *option]).exit_code == 2
