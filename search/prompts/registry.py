"""Finds every prompt transform of this folder, and reads transforms from requests."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.search import prompts as package
from deliberate.search.registry import explain
from deliberate.search.transform import PromptTransform
from deliberate.verifiers.plugins import discriminated, subclasses_in

TRANSFORMS: dict[str, type[PromptTransform]] = subclasses_in(package, PromptTransform)
"""Config classes by kind."""

MAX_TRANSFORMS = 8
"""Most transforms of one request."""

if TYPE_CHECKING:
    AnyTransform = PromptTransform
else:
    AnyTransform = discriminated(TRANSFORMS)
"""The type of a field that takes any transform, by its full config."""


def parse_transforms(value: object, param: str = "prompt") -> tuple[PromptTransform, ...]:
    """Prompt transforms from a request: one or a list of them, each by its kind or its config.

    Raises UnknownName for a name nobody has, InvalidRequest for options out of range; the field at fault is named.
    """
    if not isinstance(value, list):
        return (_parse(value, param),)
    items = cast(list[object], value)
    if len(items) > MAX_TRANSFORMS:
        raise InvalidRequest(f"{param} holds {len(items)} transforms; send at most {MAX_TRANSFORMS}.", param=param)
    return tuple(_parse(item, f"{param}[{number}]") for number, item in enumerate(items))


def _parse(value: object, param: str) -> PromptTransform:
    config = {"kind": value} if isinstance(value, str) else value
    if not isinstance(config, Mapping):
        raise InvalidRequest(f"{param} is {value!r}, but must be a name, an object or a list of them.", param=param)
    fields = cast(Mapping[str, Any], config)
    kind = fields.get("kind")
    if not isinstance(kind, str):
        known = ", ".join(TRANSFORMS)
        raise InvalidRequest(f"A prompt transform needs a 'kind', one of: {known}.", param=f"{param}.kind")
    if kind not in TRANSFORMS:
        raise UnknownName("prompt transform", kind, TRANSFORMS, param=param)
    try:
        return TRANSFORMS[kind].model_validate(fields)
    except ValidationError as error:
        where = ".".join([param, *map(str, error.errors()[0]["loc"])])
        raise InvalidRequest(f"The prompt transform {kind!r}: {explain(error)}", param=where) from error
