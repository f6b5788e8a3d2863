"""One file, one plugin: the config classes that a package's modules define, keyed by their `kind`."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any, TypeVar, Union, get_args

from pydantic import BaseModel, Field

Config = TypeVar("Config", bound=BaseModel)
Plugin = TypeVar("Plugin")


def modules_in(package: ModuleType) -> Iterator[ModuleType]:
    """The package's public modules but its registry, sorted by name."""
    for module_info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        name = module_info.name.rpartition(".")[2]
        if name != "registry" and not name.startswith("_"):
            yield importlib.import_module(module_info.name)


def subclasses_in(package: ModuleType, base: type[Config]) -> dict[str, type[Config]]:
    """Every concrete subclass of `base` in the package's public modules, by the literal of its `kind` field, sorted."""
    found: dict[str, type[Config]] = {}
    for module in modules_in(package):
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, base) and item.__module__ == module.__name__:
                for kind in get_args(item.model_fields["kind"].annotation):
                    found[kind] = item
    return dict(sorted(found.items()))


def named_in(package: ModuleType, base: type[Plugin]) -> dict[str, Plugin]:
    """An object of every subclass of `base` in the package's public modules that has a `name` of its own, by it."""
    return {
        vars(item)["name"]: item()
        for module in modules_in(package)
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, base)
        and item.__module__ == module.__name__
        and "name" in vars(item)
    }


def discriminated(classes: dict[str, type[Config]]) -> Any:
    """The pydantic union of the classes, told apart by `kind`."""
    return Annotated[Union[tuple(classes.values())], Field(discriminator="kind")]  # noqa: UP007 - built at run time
