"""Model cards of any stage: the README.md of a model folder, written from its record."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from deliberate.training.artifact import Artifact

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

| library | version |
| --- | --- |
{versions}

Data: {task}; hash `{data_hash}`. Weights: `{weights_hash}`.

```yaml
{config}```
"""


def write_run_card(folder: Path, artifact: Artifact) -> None:
    """Write `README.md`."""
    card = _CARD.format(
        **artifact.model_dump(include={"name", "summary", "stage", "command", "data_hash", "weights_hash"}),
        task=artifact.task or "of the models it came from",
        parents=table_rows({name: f"`{digest}`" for name, digest in artifact.parents.items()} or {"nothing": ""}),
        metrics=table_rows({name: f"{value:g}" for name, value in artifact.metrics.items()}),
        versions=table_rows(artifact.versions),
        config=yaml.safe_dump(artifact.config, sort_keys=False),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def table_rows(values: Mapping[str, object]) -> str:
    """Of a Markdown table with a name and a value in each."""
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
