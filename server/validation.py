"""Saying what is wrong with a request's body: which field, which value, what would be right."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticCustomError

from deliberate.engines.errors import InvalidRequest


def explain(error: RequestValidationError) -> InvalidRequest:
    """All that is wrong, in one sentence each; `param` is the first field at fault."""
    details = cast(Sequence[Mapping[str, Any]], error.errors())
    sentences = [_sentence(detail, error.body) for detail in details]
    param = _path(details[0], error.body)
    code = details[0]["type"] if details[0]["type"] == "unsupported_parameter" else None
    return InvalidRequest(" ".join(dict.fromkeys(sentences)), param=param or None, code=code)


def _sentence(detail: Mapping[str, Any], body: object) -> str:
    path = _path(detail, body)
    match detail["type"]:
        case "json_invalid":
            reason = detail.get("ctx", {}).get("error", "invalid")
            return f"The body is not valid JSON: {reason} at character {detail['loc'][-1]}."
        case "missing":
            return f"Missing field {path!r}." if path else "The request has no body; send a JSON object."
        case "model_attributes_type" | "dict_type" if not path:
            return "The body must be a JSON object, sent with Content-Type: application/json."
        case "unsupported_parameter" | "unknown_field" | "malformed":
            return str(detail["msg"])
        case _:
            return f"{path}: {detail['msg']} (got {shown(detail['input'])})."


def _path(detail: Mapping[str, Any], body: object) -> str:
    """The field as the caller would write it, such as `messages[0].content`; without pydantic's union branches."""
    if detail["type"] == "json_invalid":
        return ""
    where, *steps = cast(Sequence[str | int], detail["loc"])
    if detail["type"] == "malformed":
        return str(detail["ctx"]["field"])
    if detail["type"] == "unknown_field":
        steps.append(str(detail["ctx"]["field"]))
    path = "" if where == "body" else str(where)
    place = body
    for number, step in enumerate(steps):
        if isinstance(place, list) and isinstance(step, int):
            path += f"[{step}]"
            items = cast(list[object], place)
            place = items[step] if step < len(items) else None
        elif isinstance(place, dict):
            fields = cast(dict[str, object], place)
            absent = detail["type"] == "missing" and number == len(steps) - 1
            if step in fields or absent:
                path += f".{step}" if path else str(step)
                place = fields.get(str(step))
    return path


def unknown_field(name: str, known: Iterable[str]) -> PydanticCustomError:
    """Refusing a field that does not exist, with the closest one that does."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    message = f"Unknown field {name!r}.{hint} Known fields: {', '.join(names)}."
    return PydanticCustomError("unknown_field", "{message}", {"message": message, "field": name})


def unsupported(name: str, value: object, instead: str) -> PydanticCustomError:
    """Refusing a field whose meaning would be lost, with what to use instead."""
    return PydanticCustomError("unsupported_parameter", "{message}", {"message": _unsupported(name, value, instead)})


def not_supported(name: str, value: object, instead: str) -> InvalidRequest:
    """The same refusal where it takes the model to know."""
    return InvalidRequest(_unsupported(name, value, instead), param=name, code="unsupported_parameter")


def _unsupported(name: str, value: object, instead: str) -> str:
    return f"{name} = {shown(value)} is not supported. {instead}"


def malformed(path: str, problem: str) -> PydanticCustomError:
    """Refusing a value that is no good anywhere."""
    field = path or "The body"
    return PydanticCustomError("malformed", "{message}", {"message": f"{field} {problem}.", "field": path})


def shown(value: object) -> str:
    """A value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
