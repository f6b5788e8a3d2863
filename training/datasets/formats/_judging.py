"""The fields that any line may have: who asks what, and how answers are judged."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from pydantic import ValidationError

from deliberate.engines.protocol import Message
from deliberate.search.registry import explain
from deliberate.training.datasets.records import Record
from deliberate.training.json_lines import BadLine
from deliberate.verifiers.registry import parse_verifier

_ROLES = ("system", "developer", "user", "assistant", "tool")


class RowFields(TypedDict):
    """What all rows have beside their prompt."""

    id: str
    place: str
    tools: tuple[Mapping[str, Any], ...]
    answer: str | None
    verifier: Mapping[str, Any] | None


def user(text: str) -> tuple[Message, ...]:
    """A prompt that is plain text."""
    return ({"role": "user", "content": text},)


def by_reference(answer: str) -> dict[str, Any]:
    """The verifier that compares with the right answer."""
    return {"kind": "reference", "answer": answer}


def row_fields(record: Record) -> RowFields:
    """`id`, `tools`, `answer` and `verifier` of a line of our own or of TRL. Raises BadLine."""
    answer = _answer(record)
    verifier = _verifier(record)
    if verifier is None and answer is not None:
        verifier = by_reference(answer)
    tools = tuple(tool.fields for tool in record.objects("tools")) if record.fields.get("tools") else ()
    return RowFields(id=_id(record), place=record.place, tools=tools, answer=answer, verifier=verifier)


def messages(record: Record, name: str) -> tuple[Message, ...]:
    """A conversation. Raises BadLine."""
    return tuple(_message(message) for message in record.objects(name))


def prompt(record: Record, name: str = "prompt") -> tuple[Message, ...]:
    """A conversation, or a text of the user. Raises BadLine."""
    if isinstance(record.value(name), str):
        return user(record.text(name))
    found = messages(record, name)
    if found[-1]["role"] == "assistant":
        raise BadLine(f"has a {name!r} that ends with the assistant; it must end with what is to be answered")
    return found


def _message(record: Record) -> Message:
    if record.text("role") not in _ROLES:
        raise record.wrong("role", f"one of {', '.join(_ROLES)}")
    if not record.has("tool_calls"):
        record.value("content")
    # The library `datasets` gives every message all fields that any message has.
    return {name: value for name, value in record.fields.items() if value is not None}


def _id(record: Record) -> str:
    value = record.fields.get("id")
    if value is None:
        return record.key
    return str(record.whole("id")) if isinstance(value, int) else record.text("id")


def _answer(record: Record) -> str | None:
    value = record.fields.get("answer")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return record.optional_text("answer")


def _verifier(record: Record) -> Mapping[str, Any] | None:
    value = record.fields.get("verifier")
    if value is None:
        return None
    try:
        parse_verifier(value)
    except ValidationError as error:
        raise BadLine(f"has a 'verifier' that cannot be read: {explain(error)}") from error
    match value:
        case str():
            return {"kind": value}
        case Sequence():
            return {"kind": "ensemble", "members": cast(Sequence[Any], value)}
        case _:
            return cast(Mapping[str, Any], value)
