"""Finds every verifier of this package: a module here that defines a `VerifierConfig` is enough."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, TypeAdapter

import deliberate.verifiers as package
from deliberate.verifiers.plugins import discriminated, subclasses_in
from deliberate.verifiers.protocol import VerifierConfig

VERIFIERS: dict[str, type[VerifierConfig]] = subclasses_in(package, VerifierConfig)
"""Config classes by kind."""


def _expand(value: Any) -> Any:
    """Shorthands: a bare kind is that verifier with its defaults, a list is a weighted ensemble."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, list):
        return {"kind": "ensemble", "members": value}
    return value  # pyright: ignore[reportUnknownVariableType]


if TYPE_CHECKING:
    AnyVerifier = VerifierConfig
else:
    AnyVerifier = Annotated[discriminated(VERIFIERS), BeforeValidator(_expand)]
"""The type of a config field that takes any verifier, by kind, by full config or as a list."""

for _config in VERIFIERS.values():
    # Configs that hold other verifiers name the union in a string, because it exists only now.
    _config.model_rebuild(_types_namespace={"AnyVerifier": AnyVerifier})

_adapter: TypeAdapter[VerifierConfig] = TypeAdapter(AnyVerifier)


def parse_verifier(value: object) -> VerifierConfig:
    """A verifier from plain data. Raises pydantic.ValidationError."""
    return _adapter.validate_python(value)
