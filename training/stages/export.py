"""Export: a trained model as a folder to serve or publish, in a precision of choice, with its card.

The folder holds what this server, vLLM and transformers load, the record `deliberate.json`, and a model card with the
curves of the run. It is made of the files of the model's folder, of whatever architecture, head or not; adapters were
merged when their stage ended.
"""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import FILE_NAME, Artifact
from deliberate.training.recording.metrics import Report, Reporter
from deliberate.training.run_card import write_run_card
from deliberate.training.run_curves import PICTURE, draw_curves
from deliberate.training.run_folder import finish, finished, library_versions, parent, weights_hash
from deliberate.training.stages._protocol import Stage, StageConfig

NAME = "export"
_COPIED = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = "*.safetensors"


class ExportConfig(StageConfig):
    """One export."""

    no_effect: ClassVar[frozenset[str]] = StageConfig.no_effect | {"model_name_or_path"}

    model_name_or_path: Path = Field(description="Folder of the model: the output_dir of its stage.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="bfloat16", description="Precision of the weights; half precision takes half of the room."
    )
    verifier: str | None = Field(
        default=None, description="Name of the folder, beside this one, of the model that scores it when it is served."
    )


def run(config: ExportConfig, report: Reporter = lambda _: None) -> Artifact:
    """Write the folder.

    Raises:
        InvalidRequest: `model_name_or_path` holds no weights.
        OtherRun: the output folder holds another model.
    """
    source, folder = config.model_name_or_path, config.output_dir
    files = sorted(source.glob(_WEIGHTS))
    if not files:
        raise InvalidRequest(f"{source} holds no {_WEIGHTS}: give the folder of a model whose stage has finished.")
    parents = parent(str(source))
    if (done := finished(config, NAME, parents)) is not None:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    _copy_settings(source, folder, config.dtype)
    for number, file in enumerate(files):
        _convert(file, folder / file.name, getattr(torch, config.dtype))
        report(Report(number + 1, len(files), 0, 0.0, {}))
    draw_curves(source, folder / PICTURE)
    artifact = _artifact(config, parents)
    write_run_card(folder, artifact)
    return finish(config, artifact)


def _copy_settings(source: Path, folder: Path, dtype: str) -> None:
    """Everything beside the weights: configuration, tokenizer, chat template."""
    for pattern in _COPIED:
        for file in source.glob(pattern):
            if file.name != FILE_NAME:
                shutil.copyfile(file, folder / file.name)
    settings: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    settings.pop("torch_dtype", None)
    text = json.dumps({**settings, "dtype": dtype}, indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _convert(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Numbers that are no integers, in another precision. Names and the rest stay."""
    with safe_open(source, framework="pt") as weights:
        metadata = weights.metadata()
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - it is no dict
    converted = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    partial = target.with_suffix(".partial")
    save_file(converted, partial, metadata=metadata)
    shutil.copymode(source, partial)
    partial.replace(target)


def _artifact(config: ExportConfig, parents: dict[str, str]) -> Artifact:
    """The record of the model that is exported goes on in this one."""
    source = config.model_name_or_path
    trained = Artifact.load(source) if (source / FILE_NAME).exists() else None
    return Artifact(
        name=config.name,
        stage=NAME,
        summary=config.summary or (trained.summary if trained else ""),
        command=config.command,
        task=trained.task if trained else "",
        config=config.portable(),
        data_hash=trained.data_hash if trained else "",
        weights_hash=weights_hash(config.output_dir),
        parents=parents,
        metrics=trained.metrics if trained else {},
        versions=library_versions(),
        step_separator=trained.step_separator if trained else "\n",
        format=trained.format if trained else None,
        verifier=config.verifier,
    )


STAGE = Stage(NAME, ExportConfig, run)
