"""A reply beside what AgentJo asked for. Runs in worker processes: both texts may be made to take for ever."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from deliberate.verifiers.agentjo import json_template, yaml_template
from deliberate.verifiers.agentjo.checked import Checked, Rejected, Unreadable, shown, spelled
from deliberate.verifiers.agentjo.literals import NotLiteral, literal
from deliberate.verifiers.agentjo.prompts import Asked

FUNCTION = "Equipped Function Name"
"""The key that names the function an agent calls next."""


def check(asked: Asked, reply: str, unvoted: tuple[str, ...]) -> Checked:
    """Raises Unreadable when the prompt cannot be read. `unvoted` are keys that the answer leaves out."""
    keys, found = _read(asked, reply)
    functions = None if asked.functions is None else function_names(asked.functions)
    if functions and FUNCTION in keys and FUNCTION not in found.complaints:
        name = found.values.get(FUNCTION)
        if name not in functions:
            found.complaints[FUNCTION] = f"{FUNCTION!r} is {shown(name)}, not one of {', '.join(functions)}"
    wrong = found.complaints
    known = {*keys, *wrong}
    if wrong:
        return Checked(len(known) - len(wrong), len(known), next(iter(wrong.values())))
    return Checked(len(keys), len(keys), None, spelled(found.values, unvoted))


@dataclass(frozen=True, slots=True)
class _Found:
    """A document's values, and what is wrong with it by key of the first level; empty for all of it."""

    values: Mapping[str, Any]
    complaints: dict[str, str]


def _read(asked: Asked, reply: str) -> tuple[list[str], _Found]:
    if asked.form == "json":
        template = _json(asked.template)
        reading = template.read(reply)
        return template.keys(), _Found(reading.values, reading.complaints)
    fields, model = _yaml(asked.template)
    return list(fields), _validated(fields, model, reply)


@lru_cache(maxsize=64)
def _json(text: str) -> json_template.JsonTemplate:
    return json_template.read_template(text)


@lru_cache(maxsize=64)
def _yaml(text: str) -> tuple[Mapping[str, Any], type[BaseModel]]:
    return yaml_template.read_template(text)


def _validated(fields: Mapping[str, Any], model: type[BaseModel], reply: str) -> _Found:
    try:
        document = model.model_validate(yaml_template.read_reply(reply))
    except Rejected as error:
        return _Found({}, dict.fromkeys(fields, str(error)))
    except ValidationError as error:
        return _Found({}, dict(_complaints(fields, error)))
    return _Found(document.model_dump(by_alias=True), {})


def _complaints(fields: Iterable[str], error: ValidationError) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False):
        place = [str(part) for part in item["loc"]]
        what = f"{'.'.join(place) or 'the document'}: {item['msg']} (got {shown(item['input'])})"
        for key in place[:1] or fields:
            found.setdefault(key, what)
    return found


@lru_cache(maxsize=64)
def function_names(text: str) -> tuple[str, ...]:
    """The names in the list of functions that an agent shows. Raises Unreadable."""
    try:
        listed = literal(text)
    except NotLiteral as error:
        raise Unreadable(f"the prompt's list of Equipped Functions cannot be read: {error}") from error
    entries = cast(list[Any], listed) if isinstance(listed, list) else []
    lines = (str(entry).partition("\n")[0] for entry in entries)
    return tuple(line.removeprefix("Name: ") for line in lines if line.startswith("Name: "))
