"""Finds every mode of this package: a module here that defines a `Mode` with a name is enough."""

import deliberate.verifiers.judging as package
from deliberate.verifiers.judging.mode import Mode
from deliberate.verifiers.plugins import modules_in

DEFAULT = "rubric"

MODES: dict[str, Mode] = {
    item.name: item()
    for module in modules_in(package)
    for item in vars(module).values()
    if isinstance(item, type) and issubclass(item, Mode) and item.__module__ == module.__name__ and "name" in vars(item)
}
"""By name."""
