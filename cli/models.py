"""`deliberate models`."""

import json
import math
import struct
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the bundled models: size, parameters, context, what was measured, and the command that made them.

    **Examples**

        deliberate models

        deliberate models --json
    """
    from deliberate.models import bundled_models

    found = [describe(name, folder) for name, folder in bundled_models().items()]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console()
    if not found:
        console.print("No models are bundled here; `deliberate train tiny` makes them.")
        return
    console.print(_table(found))


def describe(name: str, folder: Path) -> dict[str, Any]:
    """What is known of one model, from its files."""
    record = json.loads((folder / "deliberate.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "path": str(folder),
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        "parameters": sum(map(count_parameters, folder.glob("*.safetensors"))),
        "context": config.get("max_position_embeddings"),
        "summary": record.get("summary", ""),
        "verifier": record.get("verifier"),
        "metrics": record.get("metrics", {}),
        "command": record.get("command", ""),
    }


def count_parameters(weights: Path) -> int:
    """Read from the header of a safetensors file: its length in 8 bytes, then JSON with every tensor's shape."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(math.prod(tensor["shape"]) for key, tensor in header.items() if key != "__metadata__")


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(title="Bundled models", show_lines=True)
    for column in ("Name", "Size", "Parameters", "Context", "Measured", "Made by"):
        table.add_column(column, overflow="fold")
    for model in found:
        metrics = "\n".join(f"{name} {value:g}" for name, value in model["metrics"].items())
        size, parameters = f"{model['bytes'] / 1e6:.1f} MB", f"{model['parameters'] / 1e6:.1f} M"
        table.add_row(model["name"], size, parameters, str(model["context"]), metrics, model["command"])
    return table
