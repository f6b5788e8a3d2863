"""Finds every format of this package: a module here that defines a `Format` with a name is enough."""

import deliberate.verifiers.formats as package
from deliberate.verifiers.formats.protocol import Format
from deliberate.verifiers.plugins import named_in

DEFAULT = "chat"

FORMATS: dict[str, Format] = named_in(package, Format)
"""By name."""


def format_of(architecture: str) -> str | None:
    """The format that every model of this architecture reads, where there is one."""
    return next((name for name, format in FORMATS.items() if architecture in format.architectures), None)
