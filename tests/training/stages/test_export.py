"""What is exported is the same model, in another precision, and is served."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from deliberate.engines import transformers as embedded
from deliberate.engines.errors import InvalidRequest
from deliberate.models import bundled
from deliberate.training.artifact import Artifact
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages import export
from deliberate.training.stages.export import ExportConfig
from tests.engines.tiny_models import make_model, make_reward_model


def exported(source: Path, folder: Path, **changes: Any) -> Artifact:
    return export.run(ExportConfig(name="out", output_dir=folder, model_name_or_path=source, **changes))


def test_half_precision_takes_half_of_the_room(tmp_path: Path) -> None:
    source = Path(bundled("tiny"))
    artifact = exported(source, tmp_path / "out", verifier="tiny-verifier", command="deliberate train export …")
    whole, half = (sum(f.stat().st_size for f in at.glob("*.safetensors")) for at in (source, tmp_path / "out"))
    assert 0.49 < half / whole < 0.51
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")  # pyright: ignore[reportUnknownMemberType]
    original: Any = AutoModelForCausalLM.from_pretrained(source)  # pyright: ignore[reportUnknownMemberType]
    assert loaded.dtype == torch.bfloat16
    ids = torch.arange(20)[None]
    assert torch.allclose(loaded(ids).logits.float(), original(ids).logits, atol=0.15)
    trained = Artifact.load(source)
    assert artifact.parents == {"tiny": trained.weights_hash}
    assert artifact.metrics == trained.metrics
    assert artifact.verifier == "tiny-verifier"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "deliberate train export …" in card
    assert trained.weights_hash in card
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")  # pyright: ignore[reportUnknownMemberType]
    assert tokenizer.chat_template


async def test_the_server_runs_it(tmp_path: Path) -> None:
    exported(Path(bundled("tiny")), tmp_path / "out", dtype="float16")
    engine = embedded.load(str(tmp_path / "out"))
    assert engine.capabilities.vocabulary_size
    await engine.close()


async def test_reward_models_keep_their_heads(tmp_path: Path) -> None:
    source = make_reward_model(tmp_path / "reward")
    exported(source, tmp_path / "out", dtype="float32")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in load_file(source / "model.safetensors").items())
    scorer = embedded.load_scorer(str(tmp_path / "out"))
    await scorer.close()


def test_again_is_at_once_and_another_model_is_not_written_over(tmp_path: Path) -> None:
    first, second = (make_model(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    artifact = exported(first, tmp_path / "out")
    assert exported(first, tmp_path / "out") == artifact
    with pytest.raises(OtherRun, match="another parents"):
        exported(second, tmp_path / "out")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"holds no \*\.safetensors"):
        exported(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
