"""Configurations from YAML files, with what a command line sets over them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.search.registry import explain

Config = TypeVar("Config", bound=BaseModel)


def read_config(kind: type[Config], file: Path | None, settings: Iterable[str] = ()) -> Config:
    """A configuration from a file's fields and `key=value` settings, which go before; a dot leads into a field.

    Raises InvalidRequest, naming the file and the fields at fault.
    """
    fields = {} if file is None else _fields(file)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InvalidRequest(f"--set {setting} has no value; write --set {setting}=VALUE.")
        _set(fields, key, _parsed(text, f"--set {setting}"))
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        known = ", ".join(kind.model_fields)
        hint = f" Fields there are: {known}." if any(e["type"] == "extra_forbidden" for e in error.errors()) else ""
        raise InvalidRequest(f"{file or 'The configuration'}: {explain(error)}.{hint}") from error


def _fields(file: Path) -> dict[str, Any]:
    try:
        fields = _parsed(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from error
    if not isinstance(fields, Mapping):
        raise InvalidRequest(f"{file} holds no fields; write one on each line, as in `max_steps: 100`.")
    return dict(cast(Mapping[str, Any], fields))


def _parsed(text: str, place: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{place} is not YAML: {error}.") from error


def _set(fields: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for name in outer:
        inner = fields.get(name)
        fields[name] = dict(cast(Mapping[str, Any], inner)) if isinstance(inner, Mapping) else {}
        fields = fields[name]
    fields[last] = value
