"""Finds every prover of this package: a module here that defines a `Prover` with a name is enough."""

import deliberate.verifiers.provers as package
from deliberate.verifiers.plugins import named_in
from deliberate.verifiers.provers.protocol import Prover

DEFAULT = "coq"

PROVERS: dict[str, Prover] = named_in(package, Prover)
"""By name."""
