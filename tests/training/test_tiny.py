import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deliberate.search.evaluation import Outcome
from deliberate.training import tiny
from deliberate.training.artifact import Artifact
from deliberate.training.commands import app
from deliberate.training.measure import within_problem_auc
from deliberate.training.policies.shape import ModelShape
from deliberate.training.progress import TrainingBars, run_side_by_side
from deliberate.training.recording.metrics import Report
from deliberate.training.stages import sft
from deliberate.training.stages.sft import SFTConfig
from deliberate.training.tokenizer import make_tokenizer


def test_the_command_makes_both_models_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenth of the usual texts: nothing here depends on which merges it learns.
    monkeypatch.setattr(tiny, "make_tokenizer", partial(make_tokenizer, problems=2_000))
    output, work = tmp_path / "models", tmp_path / "work"
    options = ["--policy-steps", "1", "--verifier-steps", "2", "--problems", "1", "--no-side-by-side"]
    result = CliRunner().invoke(app, ["tiny", "--output", str(output), "--work", str(work), *options])

    assert result.exit_code == 0, result.output
    assert "pass@1" in result.output
    assert not work.exists()
    policy, verifier = Artifact.load(output / "tiny"), Artifact.load(output / "tiny-verifier")
    assert policy.verifier == "tiny-verifier"
    assert verifier.verifier is None
    assert policy.command == verifier.command == "deliberate train tiny --policy-steps 1 --verifier-steps 2"
    assert {"pass@1", "majority@16", "best_of_16_verifier", "within_problem_auc"} <= set(policy.metrics)
    assert "pass@1" in verifier.metrics
    card = (output / "tiny" / "README.md").read_text()
    assert policy.command in card
    assert policy.data_hash in card
    assert not list(output.glob("*/checkpoint-*"))


def test_foreign_files_in_the_work_folder_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(configs: Sequence[SFTConfig]) -> None:
        for config in configs:
            config.output_dir.mkdir()

    def measure(models: Path, *, problems: int, seed: int) -> None:
        assert sorted(path.name for path in models.iterdir()) == ["notes", "tiny", "tiny-verifier", "tokenizer"]

    def tokenize(folder: Path, task: str, seed: int) -> None:
        folder.mkdir()

    monkeypatch.setattr(tiny, "run_in_turn", train)
    monkeypatch.setattr(tiny, "measure_tiny", measure)
    monkeypatch.setattr(tiny, "make_tokenizer", tokenize)
    (tmp_path / "notes").touch()
    tiny.train_tiny(tmp_path / "models", work=tmp_path, side_by_side=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "notes"]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([((True, False, False), (0.9, 0.2, 0.95))], 0.5),
        ([((True, False), (0.5, 0.5))], 0.5),
        ([((True, True, False), (0.9, 0.6, 0.5)), ((True, False), (0.1, 0.2))], 0.5),
        ([((True, False), (0.9, 0.1)), ((True, True), (0.1, 0.2)), ((False,), (0.9,))], 1.0),
        ([((True, False, True), (None, 0.4, 0.5)), ((True, False), (0.9, None))], 1.0),
        ([((True, True), (0.1, 0.2))], 0.5),
    ],
)
def test_the_auc_compares_within_problems_that_have_both(
    outcomes: list[tuple[tuple[bool, ...], tuple[float | None, ...]]], expected: float
) -> None:
    assert within_problem_auc([Outcome(True, right, scores, 0) for right, scores in outcomes]) == expected


def test_the_recipe_by_default_is_the_one_that_made_the_bundled_models(tmp_path: Path) -> None:
    from deliberate.models import bundled

    for config in tiny.configs(tmp_path, tiny.POLICY_STEPS, tiny.VERIFIER_STEPS, seed=0):
        made = Artifact.load(bundled(config.name))
        assert made.config == config.portable()
        assert made.command == config.command == "deliberate train tiny"


def toy(folder: Path, name: str, seed: int) -> SFTConfig:
    if not (folder / "tokenizer").exists():
        make_tokenizer(folder / "tokenizer", "word_problems", seed=0, problems=100, vocab_size=400)
    return SFTConfig(
        name=name,
        output_dir=folder / name,
        tokenizer=folder / "tokenizer",
        model=ModelShape(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
        ),
        task="word_problems",
        seed=seed,
        max_steps=4,
        per_device_train_batch_size=2,
        logging_steps=2,
        save_steps=1,
    )


def test_runs_side_by_side_are_the_same_as_alone(tmp_path: Path) -> None:
    together = run_side_by_side([toy(tmp_path, "left", 0), toy(tmp_path, "right", 1)])
    assert [artifact.name for artifact in together] == ["left", "right"]
    alone = sft.run(toy(tmp_path, "alone", 1))
    assert together[1].weights_hash == alone.weights_hash


def test_an_interrupt_ends_the_runs_at_once_and_leaves_their_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(bars: TrainingBars, name: str, report: Report) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingBars, "show", interrupt)
    # Engines of other tests may still run in processes of theirs.
    before = set(multiprocessing.active_children())
    endless = toy(tmp_path, "endless", 0).model_copy(update={"max_steps": 1_000_000})
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side([endless])
    assert set(multiprocessing.active_children()) <= before
    assert list(endless.output_dir.glob("checkpoint-*"))


def test_the_command_documents_its_options() -> None:
    result = CliRunner().invoke(app, ["tiny", "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    for option in ("--output", "--work", "--policy-steps", "--verifier-steps", "--seed", "--problems"):
        assert option in result.output


@pytest.mark.parametrize("option", [["--policy-steps", "0"], ["--problems", "0"], ["--minutes", "3"]])
def test_bad_options_are_refused(option: list[str]) -> None:
    assert CliRunner().invoke(app, ["tiny", *option]).exit_code == 2
