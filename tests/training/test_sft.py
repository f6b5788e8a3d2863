import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from deliberate.training.artifact import Artifact, ArtifactError, file_hash
from deliberate.training.batches import IGNORED, WINDOW, BatchStream, TaskExamples
from deliberate.training.optimization.checkpoint import CheckpointError
from deliberate.training.optimization.optimizer import scheduled_rate
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.shape import ModelShape
from deliberate.training.recording import metrics
from deliberate.training.recording.metrics import Report, Reporter
from deliberate.training.run_folder import OtherRun, locked
from deliberate.training.stages import sft
from deliberate.training.stages.sft import SFTConfig
from deliberate.training.tasks import UnknownTaskError, load_task
from deliberate.training.tokenizer import make_tokenizer

TOY = ModelShape(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(folder, "word_problems", seed=0, problems=200, vocab_size=400)
    return folder


@pytest.fixture
def config(tokenizer: Path, tmp_path: Path) -> SFTConfig:
    return SFTConfig(
        name="toy",
        output_dir=tmp_path / "toy",
        tokenizer=tokenizer,
        model=TOY,
        task="word_problems",
        max_steps=30,
        warmup_steps=5,
        decay_steps=10,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        logging_steps=5,
        save_steps=8,
    )


class KilledError(Exception):
    """Stands for the process being killed."""


def kill_at(step: int) -> Reporter:
    def report(line: Report) -> None:
        if line.step == step:
            raise KilledError

    return report


def test_a_toy_model_learns_and_leaves_its_record(config: SFTConfig) -> None:
    lines: list[Report] = []
    artifact = sft.run(config, lines.append)

    assert [line.step for line in lines] == [5, 10, 15, 20, 25, 30]
    assert lines[-1].values["loss"] < 0.7 * lines[0].values["loss"]
    written = [json.loads(line) for line in (config.output_dir / metrics.FILE_NAME).read_text().splitlines()]
    assert [line["loss"] for line in written] == [line.values["loss"] for line in lines]
    assert Artifact.load(config.output_dir) == artifact
    assert artifact.weights_hash == file_hash(config.output_dir / "model.safetensors")
    assert artifact.metrics["train_tokens"] == lines[-1].tokens
    assert artifact.step_separator == "\n"
    assert not list(config.output_dir.glob("checkpoint-*"))
    assert "output_dir" not in artifact.config


def test_the_tokenizer_beside_the_model_splits_text_as_it_was_trained_to(config: SFTConfig) -> None:
    sft.run(config.model_copy(update={"max_steps": 1}))
    text = "Ana has 12 apples. She buys 30 more.\n12 + 30 = 42"
    assert ChatTokenizer(config.output_dir).encode(text) == ChatTokenizer(config.tokenizer or Path()).encode(text)


def test_a_killed_run_goes_on_to_the_same_weights(config: SFTConfig, tmp_path: Path) -> None:
    whole = sft.run(config)
    broken = config.model_copy(update={"output_dir": tmp_path / "broken"})
    with pytest.raises(KilledError):
        sft.run(broken, kill_at(20))
    steps: list[int] = []
    resumed = sft.run(broken, lambda line: steps.append(line.step))

    assert steps == [20, 25, 30], "it goes on from the checkpoint of step 16"
    assert resumed.data_hash == whole.data_hash
    assert resumed.weights_hash == whole.weights_hash
    lines = [json.loads(line)["step"] for line in (broken.output_dir / metrics.FILE_NAME).read_text().splitlines()]
    assert lines == [5, 10, 15, 20, 25, 30]


def test_a_finished_run_is_not_run_again(config: SFTConfig) -> None:
    artifact = sft.run(config)
    reports: list[Report] = []
    assert sft.run(config, reports.append) == artifact
    assert not reports


def test_checkpoints_of_another_run_are_refused(config: SFTConfig) -> None:
    with pytest.raises(KilledError):
        sft.run(config, kill_at(10))
    with pytest.raises(CheckpointError, match="another configuration"):
        sft.run(config.model_copy(update={"seed": 1}))


def test_checkpoints_are_kept_when_asked(config: SFTConfig) -> None:
    sft.run(config.model_copy(update={"save_total_limit": None}))
    kept = sorted(folder.name for folder in config.output_dir.glob("checkpoint-*"))
    assert kept == ["checkpoint-16", "checkpoint-24", "checkpoint-30", "checkpoint-8"]


def test_the_logit_scale_scales_the_logits_of_the_finished_model(config: SFTConfig, tmp_path: Path) -> None:
    logits: list[torch.Tensor] = []
    for scale in (1.0, 0.5):
        folder = tmp_path / f"scale-{scale}"
        sft.run(config.model_copy(update={"output_dir": folder, "logit_scale": scale, "max_steps": 2}))
        model = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
        logits.append(model(input_ids=torch.arange(20)[None]).logits)
    assert torch.allclose(0.5 * logits[0], logits[1], atol=1e-6)


def test_the_seed_decides_weights_and_data(config: SFTConfig, tmp_path: Path) -> None:
    short = config.model_copy(update={"max_steps": 1})
    other = short.model_copy(update={"seed": 1, "output_dir": tmp_path / "other"})
    first, second = sft.run(short), sft.run(other)
    assert first.data_hash != second.data_hash
    assert first.weights_hash != second.weights_hash


def test_weights_are_stored_in_single_precision(config: SFTConfig) -> None:
    sft.run(config.model_copy(update={"max_steps": 1}))
    weights = load_file(config.output_dir / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert "lm_head.weight" not in weights, "the embeddings are tied"


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_steps", 0), ("learning_rate", 0.0), ("system_prompt_share", 1.5), ("lr", 1e-3), ("logit_scale", -1.0)],
)
def test_a_bad_configuration_is_refused_by_name(config: SFTConfig, field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        SFTConfig.model_validate(config.model_dump() | {field: value})


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"hidden_size 32 .* num_attention_heads 3"):
        ModelShape(hidden_size=32, num_attention_heads=3, num_key_value_heads=1)
    with pytest.raises(ValidationError, match=r"num_attention_heads 4 .* num_key_value_heads 3"):
        ModelShape(hidden_size=32, num_attention_heads=4, num_key_value_heads=3)


def test_an_unknown_task_is_refused(config: SFTConfig) -> None:
    with pytest.raises(UnknownTaskError, match="word_problems"):
        sft.run(config.model_copy(update={"task": "chess"}))


def test_a_folder_without_a_record_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"deliberate\.json"):
        Artifact.load(tmp_path)
    (tmp_path / "deliberate.json").write_text("{}")
    with pytest.raises(ArtifactError, match="name"):
        Artifact.load(tmp_path)


def stream(tokenizer: Path, seed: int = 0, system_prompt_share: float = 0.0) -> BatchStream:
    chat = ChatTokenizer(tokenizer)
    source = TaskExamples(load_task("word_problems"), chat, system_prompt_share=system_prompt_share)
    return BatchStream(source, chat.pad_id, seed=seed, batch_size=4)


def test_any_step_of_the_data_is_reached_directly(tokenizer: Path) -> None:
    from_start = stream(tokenizer).from_step(0)
    batches = [next(from_start) for _ in range(WINDOW + 3)]
    for step in (1, WINDOW - 1, WINDOW, WINDOW + 2):
        assert torch.equal(next(stream(tokenizer).from_step(step)).input_ids, batches[step].input_ids)


def test_labels_are_the_completion_and_its_end_only(tokenizer: Path) -> None:
    chat = ChatTokenizer(tokenizer)
    batch = next(stream(tokenizer, system_prompt_share=1.0).from_step(0))
    for ids, labels in zip(batch.input_ids, batch.labels, strict=True):
        learned = labels[labels != IGNORED].tolist()
        assert learned[:2] == chat.encode("<think>\n")
        assert learned[-1] == chat.end_id
        assert ids[0] == chat.encode("<|system|>")[0]
        positions = (labels != IGNORED).nonzero()[:, 0]
        assert ids[positions + 1].tolist() == learned, "each label is the next input"
    assert batch.tokens == sum(len(ids[ids != chat.pad_id]) for ids in batch.input_ids)


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    def rates(steps: int, decay: int) -> list[float]:
        return [scheduled_rate(s, peak=1.0, warmup_steps=2, decay_steps=decay, max_steps=steps) for s in range(steps)]

    assert rates(8, 4) == [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert rates(4, 0) == rates(8, 0)[:4] == [0.5, 1.0, 1.0, 1.0]


def test_a_folder_takes_one_command_at_a_time(config: SFTConfig) -> None:
    with locked(config.output_dir), pytest.raises(OtherRun, match=r"Another process is at work in .*toy; wait for it"):
        sft.run(config)
    sft.run(config.model_copy(update={"max_steps": 1}))


def test_a_partial_checkpoint_is_no_checkpoint(config: SFTConfig) -> None:
    with pytest.raises(KilledError):
        sft.run(config, kill_at(10))
    shutil.move(config.output_dir / "checkpoint-8", config.output_dir / "partial-8")
    steps: list[int] = []
    sft.run(config, lambda line: steps.append(line.step))
    assert steps[0] == 5
