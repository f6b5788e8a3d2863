"""Finds every strategy of `strategies/`, and reads strategies from requests."""

import re
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.search import strategies as package
from deliberate.search.strategy import Strategy
from deliberate.verifiers.plugins import discriminated, subclasses_in
from deliberate.verifiers.protocol import VerifierConfig
from deliberate.verifiers.registry import VERIFIERS, parse_verifier

STRATEGIES: dict[str, type[Strategy]] = subclasses_in(package, Strategy)
"""Config classes by kind."""

_BY_SHORT_NAME = {cls.alias: cls for cls in STRATEGIES.values()} | STRATEGIES

if TYPE_CHECKING:
    AnyStrategy = Strategy
else:
    AnyStrategy = discriminated(STRATEGIES)
"""The type of a config field that takes any strategy, by its full config."""

_adapter: TypeAdapter[Strategy] = TypeAdapter(AnyStrategy)

_SHORT_NAME = re.compile(
    r"(?P<name>[a-z][a-z_-]*?)(?:-(?P<size>[0-9]{1,99}(?:x[0-9]{1,99}){0,3}))?(?:@(?P<verifier>[a-z_]+))?"
)


def parse_strategy(value: str | dict[str, Any], param: str = "strategy") -> Strategy:
    """A strategy from a request: its config, its kind, or a short name such as `best-of-16@calculator`.

    A short name is an alias or a kind, then optionally `-SIZE` (a number, or several as in `beam-4x4`), then optionally
    `@VERIFIER`.
    Raises UnknownName for a name nobody has, InvalidRequest for options out of range; `param` is named in both.
    """
    try:
        return _parse_short_name(value, param) if isinstance(value, str) else _parse_config(value, param)
    except ValidationError as error:
        raise InvalidRequest(f"Strategy {value!r}: {explain(error)}", param=param) from error


def _parse_config(value: dict[str, Any], param: str) -> Strategy:
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise InvalidRequest(f"A strategy needs a 'kind', one of: {', '.join(STRATEGIES)}.", param=f"{param}.kind")
    if kind not in STRATEGIES:
        raise UnknownName("strategy", kind, STRATEGIES, param=f"{param}.kind")
    return _adapter.validate_python(value)


def _parse_short_name(text: str, param: str) -> Strategy:
    match = _SHORT_NAME.fullmatch(text)
    name = match["name"] if match else text
    if match is None or name not in _BY_SHORT_NAME:
        raise UnknownName("strategy", name, _BY_SHORT_NAME, param=param)
    verifier = None if match["verifier"] is None else _verifier(match["verifier"], param)
    strategy = _BY_SHORT_NAME[name]
    if match["size"] is None:
        return strategy.model_validate({} if verifier is None else {"verifier": verifier})
    size = tuple(map(int, match["size"].split("x")))
    if len(size) > len(strategy.size_fields):
        shape = "x".join(["N"] * len(strategy.size_fields))
        raise InvalidRequest(f"Strategy {text!r}: a {name!r} has a size such as {name}-{shape}.", param=param)
    return strategy.of_size(size, verifier)


def _verifier(kind: str, param: str) -> VerifierConfig:
    if kind not in VERIFIERS:
        raise UnknownName("verifier", kind, VERIFIERS, param=param)
    return parse_verifier({"kind": kind})


def explain(error: ValidationError) -> str:
    """The errors of a config in one sentence for its author: field, value, what is allowed."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg']} (got {_shown(e['input'])})" for e in error.errors()
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
