"""From a name to a served model: bundled, in a folder, or on the hub. Heavy libraries load when a model does."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Engine
from deliberate.models import bundled_models
from deliberate.server.serving import Scorer, ServedModel

DEFAULT_MODEL = "tiny"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the embedded engine runs a model."""

    device: str = "auto"
    """`cpu`, `cuda` or `auto`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    max_batch: int | None = None
    """Sequences that run at once; None leaves it to the engine."""
    max_model_len: int | None = None
    """A context shorter than the model's."""
    threads: int | None = None
    """CPU threads; None leaves it to the engine."""
    chat_template: Path | None = None
    """A Jinja template instead of the model's own."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model and the companion that scores it come from."""

    name: str
    path: str
    """A folder, or an id on the hub."""
    companion: str | None = None


def find_model(model: str, *, name: str | None = None, companion: str | None = None) -> ModelSource:
    """The source of a bundled model, a folder or a hub id. Raises InvalidRequest for a folder that is not there."""
    bundled = bundled_models()
    folder = bundled.get(model, Path(model).expanduser())
    if not folder.is_dir():
        if _looks_like_a_folder(model):
            raise InvalidRequest(f"There is no model folder {model!r}. {_alternatives()}", param="model")
        if model == DEFAULT_MODEL:
            raise InvalidRequest("The bundled model is missing; `deliberate train tiny` makes it.", param="model")
        return ModelSource(name or model, model, companion)
    return ModelSource(name or folder.resolve().name, str(folder), companion or _companion(folder))


def load_model(source: ModelSource, options: EngineOptions) -> ServedModel:
    """Load a model, and its companion. Raises InvalidRequest, saying why, when one cannot be loaded."""
    scorer = None
    if source.companion is not None:
        scorer = Scorer(Path(source.companion).name, _load(source.companion, options))
    return ServedModel(source.name, _load(source.path, options), int(time.time()), scorer)


def _load(path: str, options: EngineOptions) -> Engine:
    from deliberate.engines.transformers import load

    try:
        return load(
            path,
            device=options.device,
            dtype=options.dtype,
            max_batch=options.max_batch,
            max_model_len=options.max_model_len,
            threads=options.threads,
            chat_template=options.chat_template,
        )
    except InvalidRequest as error:
        raise InvalidRequest(f"{error} {_alternatives()}", param="model") from error


def _companion(folder: Path) -> str | None:
    """The folder beside it that its record names as its verifier."""
    record = folder / "deliberate.json"
    if not record.is_file():
        return None
    name = json.loads(record.read_text(encoding="utf-8")).get("verifier")
    return None if name is None else str(folder.parent / name)


def _looks_like_a_folder(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith("/")


def _alternatives() -> str:
    return f"Bundled models: {', '.join(bundled_models()) or 'none'}; or give a folder, or a Hugging Face id."
