"""Where a model comes from: bundled, a folder, or the hub."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.models import bundled_models
from deliberate.verifiers.formats.registry import FORMATS
from deliberate.verifiers.protocol import STEP_SEPARATOR

DEFAULT_MODEL = "tiny"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model and the companion that scores it."""

    name: str
    """Under which it is served; empty for a model behind upstreams that is called there what it is called here."""
    path: str
    """A folder, an id on the hub, or the upstreams' addresses."""
    companion: str | None = None
    step_separator: str = STEP_SEPARATOR
    """What the model puts between two steps of an answer."""


def find_model(model: str, *, name: str | None = None, companion: str | None = None) -> ModelSource:
    """The source of a bundled model, a folder or a hub id. Raises InvalidRequest for a folder that is not there."""
    folder = bundled_models().get(model, Path(model).expanduser())
    if companion is not None:
        companion = find_model(companion).path
    if not folder.is_dir():
        if _looks_like_a_folder(model):
            raise InvalidRequest(f"There is no model folder {model!r}. {alternatives()}", param="model")
        if model == DEFAULT_MODEL:
            raise InvalidRequest("The bundled model is missing; `deliberate train tiny` makes it.", param="model")
        return ModelSource(name or model, model, companion)
    record = _record(folder)
    if companion is None and "verifier" in record:
        companion = record["verifier"] and str(folder.parent / record["verifier"])
    separator = record.get("step_separator", STEP_SEPARATOR)
    return ModelSource(name or folder.resolve().name, str(folder), companion, separator)


def alternatives() -> str:
    """What else could be served, for error messages."""
    return f"Bundled models: {', '.join(bundled_models()) or 'none'}; or give a folder, or a Hugging Face id."


def recorded_format(path: str) -> str | None:
    """How a model was trained to read chains, by its folder's record. Raises InvalidRequest for an unknown format."""
    name = _record(Path(path)).get("format")
    if name is not None and name not in FORMATS:
        raise UnknownName("format", name, FORMATS, param="model")
    return name


def _record(folder: Path) -> dict[str, Any]:
    """What training wrote down of the model; empty for models from elsewhere."""
    record = folder / "deliberate.json"
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}


def _looks_like_a_folder(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith("/")
