"""Reads a judge's replies. Strictly: only what the reply ends with counts, for before that it may quote anything."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from deliberate.verifiers.strict_json import Json, NotJson, loads

YES_NO = {"yes": 1.0, "no": 0.0}
"""What the verdicts of most modes are worth."""

_MARKUP = " \t*_`#>"
_VERDICT = re.compile(r"(?:(?:final )?verdict\W{1,4})?(\w+)[.!]?", re.IGNORECASE)


def read_choice(reply: str, choices: Mapping[str, float]) -> float | None:
    """The value of the choice that is the reply's last line, after `Verdict:` or alone; None for anything else."""
    line = reply.rstrip().rpartition("\n")[2].strip(_MARKUP)
    match = _VERDICT.fullmatch(line)
    return None if match is None else choices.get(match[1].lower())


def read_grades(reply: str, names: Sequence[str], highest: float) -> list[float] | None:
    """The grades of the JSON object that ends the reply, in the order of their names.

    None where it does not hold exactly these names, each with a number from 0 to the highest grade.
    """
    text = reply.rstrip().removesuffix("```").rstrip()
    try:
        grades = loads(text[max(0, text.rfind("{")) :])
    except NotJson:
        return None
    if not isinstance(grades, dict) or set(grades) != set(names):
        return None
    values = [grades[name] for name in names]
    right = [float(value) for value in values if _is_number(value) and 0 <= value <= highest]
    return right if len(right) == len(values) else None


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
