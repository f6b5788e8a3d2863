"""models: the bundled demonstration models, each with a model card and the record of what made it."""

from pathlib import Path

_RECORD = "deliberate.json"


def bundled_models() -> dict[str, Path]:
    """Folders of the models that come with this package, by name."""
    return {record.parent.name: record.parent for record in sorted(Path(__file__).parent.glob(f"*/{_RECORD}"))}


def bundled(name: str) -> Path:
    """Folder of one bundled model.

    Raises:
        LookupError: names the models there are.
    """
    models = bundled_models()
    if name not in models:
        raise LookupError(f"unknown bundled model {name!r}; the bundled models are: {', '.join(models) or 'none'}")
    return models[name]
