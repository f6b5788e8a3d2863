"""Finds stages: every module of this package whose name has no leading underscore is one."""

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from deliberate.engines.errors import UnknownName
from deliberate.training.stages._protocol import Stage

_PACKAGE = "deliberate.training.stages"


def stage_names() -> list[str]:
    """Names of all stages, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def stage_summary(name: str) -> str:
    """What the stage does, in its own words; read without importing it, which may take seconds."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]


def load_stage(name: str) -> Stage[Any]:
    """The stage of that name. Raises UnknownName, with the names there are."""
    if name not in stage_names():
        raise UnknownName("stage", name, stage_names())
    return importlib.import_module(f"{_PACKAGE}.{name}").STAGE
