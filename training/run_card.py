"""Model cards of any stage: the README.md of a model folder, written from its record."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from deliberate.training.artifact import Artifact
from deliberate.training.run_curves import PICTURE

_CARD = """\
---
library_name: transformers
tags: [deliberate]
---

# {name}

{summary}

Made by the stage `{stage}`, by

    {command}

| came from | weights |
| --- | --- |
{parents}

| figure | value |
| --- | --- |
{metrics}
{curves}
| library | version |
| --- | --- |
{versions}

Data: {task}; hash `{data_hash}`. Weights: `{weights_hash}`.

```yaml
{config}```
"""


def write_run_card(folder: Path, artifact: Artifact) -> None:
    """Write `README.md`; it shows the picture of the run's curves that lies in the folder, if one does."""
    card = _CARD.format(
        **artifact.model_dump(include={"name", "summary", "stage", "command", "data_hash", "weights_hash"}),
        task=artifact.task or "of the models it came from",
        parents=table_rows({name: f"`{digest}`" for name, digest in artifact.parents.items()} or {"nothing": ""}),
        curves=f"\n![Curves of the run]({PICTURE})\n" if (folder / PICTURE).exists() else "",
        metrics=table_rows({name: f"{value:g}" for name, value in artifact.metrics.items()}),
        versions=table_rows(artifact.versions),
        config=yaml.safe_dump(artifact.config, sort_keys=False),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def table_rows(values: Mapping[str, object]) -> str:
    """Of a Markdown table with a name and a value in each."""
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
