"""Tables by the library `datasets`: the Hub's, Parquet and Arrow files, and folders that it has saved."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from deliberate.training.datasets.sources import HUB, SAVED, BadData


def table_rows(
    source: str, *, name: str | None = None, split: str | None = None, revision: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """The rows of a dataset, in order.

    Args:
        source: `hf:owner/name` on the Hub, a Parquet or Arrow file, or a folder of them or of `save_to_disk`.
        name: the dataset's configuration, where it has several.
        split: such as "train" or "train[:100]"; needed where there are several.
        revision: a branch, tag or commit of the Hub.

    Raises BadData where the library is missing, or cannot read it.
    """
    try:
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise BadData(
            f"{source} is read by the library `datasets`: install it with pip install 'deliberate[datasets]'."
        ) from error
    try:
        yield from _one_split(_loaded(source, name, split, revision), source)
    except BadData:
        raise
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        raise BadData(f"{source} cannot be read: {error}") from error


def _loaded(source: str, name: str | None, split: str | None, revision: str | None) -> Any:
    from datasets import DatasetDict, load_dataset, load_from_disk

    path = Path(source)
    if source.startswith(HUB):
        return load_dataset(source.removeprefix(HUB), name, split=split, revision=revision)
    if any((path / saved).exists() for saved in SAVED):
        saved = load_from_disk(source)
        return saved[split] if split is not None and isinstance(saved, DatasetDict) else saved
    files = sorted(map(str, path.rglob("*"))) if path.is_dir() else [source]
    kind = "parquet" if any(file.endswith(".parquet") for file in files) else "arrow"
    tables = [file for file in files if file.endswith(f".{kind}")]
    # Streamed, because otherwise the library would copy local files into its cache.
    return load_dataset(kind, data_files=tables, split="train", streaming=True)


def _one_split(loaded: Any, source: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(loaded, dict):
        return iter(loaded)
    splits = cast(dict[str, Any], loaded)
    if len(splits) > 1:
        raise BadData(f"{source} has the splits {', '.join(splits)}; name one of them with `split`.")
    return iter(next(iter(splits.values())))
