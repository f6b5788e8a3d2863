"""`deliberate models`."""

import json
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deliberate.models
from deliberate.cli.main import app


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled model of 7 parameters."""
    folder = tmp_path / "seven"
    folder.mkdir()
    record = {"command": "deliberate train seven", "metrics": {"pass@1": 0.5}, "verifier": "judge"}
    (folder / "deliberate.json").write_text(json.dumps(record))
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    tensors = {"__metadata__": {"format": "pt"}, "a": {"shape": [2, 3]}, "b": {"shape": []}}
    header = json.dumps(tensors).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    monkeypatch.setattr(deliberate.models, "bundled_models", lambda: {"seven": folder})
    return folder


def test_table(bundle: Path) -> None:
    shown = CliRunner().invoke(app, ["models"], env={"COLUMNS": "150"}).stdout
    for text in ("seven", "512", "pass@1 0.5", "deliberate train seven"):
        assert text in shown


def test_json(bundle: Path) -> None:
    (model,) = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert (model["name"], model["parameters"], model["context"], model["verifier"]) == ("seven", 7, 512, "judge")
    assert model["bytes"] == sum(file.stat().st_size for file in bundle.iterdir())


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliberate.models, "bundled_models", dict[str, Path])
    assert "deliberate train tiny" in CliRunner().invoke(app, ["models"]).stdout
