"""Finds tasks: every module of this package whose name has no leading underscore is one."""

import importlib
import pkgutil
from pathlib import Path
from typing import cast

from deliberate.engines.errors import InvalidRequest
from deliberate.training.tasks._mixture import SEPARATOR, Mixture
from deliberate.training.tasks._protocol import Task

_PACKAGE = "deliberate.training.tasks"


class UnknownTaskError(InvalidRequest):
    """No task has the name that was asked for."""


def task_names() -> list[str]:
    """Names of all tasks, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def load_task(name: str) -> Task:
    """The task of that name; names joined by `+` are a mixture of these tasks, in equal shares.

    Raises:
        UnknownTaskError: names the tasks there are.
    """
    if SEPARATOR in name:
        return Mixture(tuple(map(load_task, name.split(SEPARATOR))))
    names = task_names()
    if name not in names:
        raise UnknownTaskError(f"unknown task {name!r}; the tasks are: {', '.join(names)}")
    return cast("Task", importlib.import_module(f"{_PACKAGE}.{name}").TASK)
