"""Finds formats: every module of this package whose name has no leading underscore is one."""

import importlib
import pkgutil
from pathlib import Path
from typing import cast

from deliberate.engines.errors import UnknownName
from deliberate.training.datasets.formats._protocol import Format

_PACKAGE = "deliberate.training.datasets.formats"


def format_names() -> list[str]:
    """Names of all formats, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def load_format(name: str) -> Format:
    """The format of that name. Raises UnknownName with those there are."""
    names = format_names()
    if name not in names:
        raise UnknownName("dataset format", name, names)
    return cast("Format", importlib.import_module(f"{_PACKAGE}.{name}").FORMAT)
