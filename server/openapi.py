"""Prints the OpenAPI description: `python -m deliberate.server.openapi > openapi.yaml`."""

import sys
from typing import Any

import yaml

from deliberate.engines.scripted import ScriptedEngine
from deliberate.server.app import create_app
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings


def description() -> dict[str, Any]:
    """It is the same whatever is served."""
    return create_app(Settings(), [ServedModel("any", ScriptedEngine(["any"]))]).openapi()


def as_yaml(schema: dict[str, Any]) -> str:
    """In the order of the routes, long lines unbroken."""
    return yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=1_000_000)


if __name__ == "__main__":
    sys.stdout.write(as_yaml(description()))
