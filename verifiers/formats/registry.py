"""Finds every format of this package: a module here that defines a `Format` with a name is enough."""

import deliberate.verifiers.formats as package
from deliberate.verifiers.formats.protocol import Format
from deliberate.verifiers.plugins import modules_in

DEFAULT = "chat"

FORMATS: dict[str, Format] = {
    item.name: item()
    for module in modules_in(package)
    for item in vars(module).values()
    if isinstance(item, type)
    and issubclass(item, Format)
    and item.__module__ == module.__name__
    and "name" in vars(item)
}
"""By name."""


def format_of(architecture: str) -> str | None:
    """The format that every model of this architecture reads, where there is one."""
    return next((name for name, format in FORMATS.items() if architecture in format.architectures), None)
