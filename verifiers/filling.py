"""Verifier specifications that take some of their options from data: one specification for many problems."""

from collections.abc import Mapping, Sequence
from typing import Any

from deliberate.engines.errors import InvalidRequest, UnknownName


def filled(spec: object, columns: Mapping[str, str], row: Mapping[str, Any]) -> object:
    """The specification with options set to what stands in the row.

    `columns` names the row's field for each option: `{"answer": "gold"}`. An option within lists or objects is written
    as a path: `{"members.0.answer": "gold"}`, or `0.answer` of a plain list. Raises UnknownName for a field that the
    row lacks, InvalidRequest for a path that leads nowhere.
    """
    for path, column in columns.items():
        if column not in row:
            raise UnknownName("field", column, row, param=path)
        spec = _set(spec, path.split("."), row[column], path)
    return spec


def _set(spec: object, steps: Sequence[str], value: Any, path: str) -> object:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    match spec:
        case str():  # a kind in short
            return _set({"kind": spec}, steps, value, path)
        case Mapping():
            return {**spec, step: _set(spec.get(step, {}), rest, value, path)}
        case [*items] if step.isdecimal() and int(step) < len(items):
            number = int(step)
            return [*items[:number], _set(items[number], rest, value, path), *items[number + 1 :]]
        case _:
            raise InvalidRequest(
                f"The option {path!r} is no place in the verifier: {step!r} leads nowhere.", param=path
            )
