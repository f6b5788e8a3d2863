"""Finds every prover of this package: a module here that defines a `Prover` with a name is enough."""

import deliberate.verifiers.provers as package
from deliberate.verifiers.plugins import modules_in
from deliberate.verifiers.provers.protocol import Prover

DEFAULT = "coq"

PROVERS: dict[str, Prover] = {
    item.name: item()
    for module in modules_in(package)
    for item in vars(module).values()
    if isinstance(item, type)
    and issubclass(item, Prover)
    and item.__module__ == module.__name__
    and "name" in vars(item)
}
"""By name."""
