"""Finds every mode of this package: a module here that defines a `Mode` with a name is enough."""

import deliberate.verifiers.judging as package
from deliberate.verifiers.judging.mode import Mode
from deliberate.verifiers.plugins import named_in

DEFAULT = "rubric"

MODES: dict[str, Mode] = named_in(package, Mode)
"""By name."""
