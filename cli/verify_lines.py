"""Files of problems and of verdicts, as JSON lines."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from deliberate.engines.errors import DeliberateError, InvalidRequest
from deliberate.server.validation import explain
from deliberate.server.verify_requests import VerifyItem
from deliberate.training.json_lines import BadLine, read_object
from deliberate.verifiers.filling import filled

ItemId = str | int


@dataclass(frozen=True, slots=True)
class Line:
    """One problem, and answers to it."""

    place: str
    """File and line."""
    id: ItemId
    item: VerifyItem
    fields: Mapping[str, Any]
    """The item as a request holds it."""


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads problems. Raises nothing: `bad` says which lines are none."""

    name: str
    """Of the file, for messages."""
    verifier: object | None = None
    """As a request would write it, for lines that name none."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """Options of that verifier, and the fields of a line that they are filled from."""
    bad: list[str] = field(default_factory=list[str])

    def read(self, lines: Iterable[bytes]) -> Iterator[Line]:
        """The problems in order."""
        places: dict[ItemId, int] = {}
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                line = self._line(number, text)
                if line.id in places:
                    raise BadLine(f"has the id {line.id!r} of line {places[line.id]}; give each line its own")
            except DeliberateError as error:
                self.bad.append(f"{self.name}:{number} {error}")
                continue
            places[line.id] = number
            yield line

    def _line(self, number: int, text: bytes) -> Line:
        row = read_object(text)
        fields = _canonical(row)
        if "verifier" not in fields and self.verifier is not None:
            try:
                fields["verifier"] = filled(self.verifier, self.columns, row)
            except InvalidRequest as error:
                raise BadLine(f"does not fill --verifier: {error}") from error
        if "verifier" not in fields:
            raise BadLine("names no verifier: add one to the line, or give one for all with --verifier")
        try:
            item = VerifyItem.model_validate(fields)
        except ValidationError as error:
            details = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
            raise BadLine(f"is no problem: {explain(RequestValidationError(details, body=fields))}") from error
        return Line(f"{self.name}:{number}", number if item.id is None else item.id, item, fields)


def _canonical(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request's item; others of the line are left out."""
    fields = {name: row[name] for name in VerifyItem.model_fields if row.get(name) is not None}
    if "messages" not in fields:
        if not isinstance(row.get("prompt"), str | list):
            raise BadLine("says not what was asked: add messages, or a prompt")
        fields["messages"] = _messages(row["prompt"])
    if "candidates" not in fields:
        given = [row[name] for name in ("candidate", "completion") if row.get(name) is not None]
        if not given:
            raise BadLine("has no answer to judge: add candidates (a list), a candidate, or a completion")
        fields["candidates"] = [_said(given[0])]
    return fields


def _messages(prompt: str | list[Any]) -> list[Any]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _said(completion: object) -> object:
    """The text of a completion that is written as a conversation; anything else as it is."""
    match completion:
        case [{"content": str(text)}]:
            return text
        case _:
            return completion


@dataclass(frozen=True, slots=True)
class VerdictFile:
    """Verdicts, one problem on a line. A run that broke off goes on where it ended."""

    path: Path

    def resume(self, known: Iterable[ItemId]) -> dict[ItemId, list[dict[str, Any]]]:
        """The verdicts that are there. A last line that was not written to its end is cut off.

        Raises InvalidRequest for a file that holds anything else, or verdicts on problems that are not `known`.
        """
        if not self.path.exists():
            return {}
        written = self.path.read_bytes()
        whole = written[: written.rfind(b"\n") + 1]
        verdicts = dict(self._line(number, text) for number, text in enumerate(whole.splitlines(), 1) if text.strip())
        if strangers := set(verdicts) - set(known):
            raise InvalidRequest(
                f"{self.path} holds verdicts on {next(iter(strangers))!r}, which the input does not have. "
                "Give another --output, or remove that file."
            )
        if len(whole) < len(written):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        return verdicts

    def _line(self, number: int, text: bytes) -> tuple[ItemId, list[dict[str, Any]]]:
        try:
            row = json.loads(text)
            return row["id"], row["verdicts"]
        except (ValueError, LookupError, TypeError) as error:
            raise InvalidRequest(
                f"{self.path}:{number} is no line of verdicts. Give another --output, or remove that file."
            ) from error


def written(name: ItemId, verdicts: list[dict[str, Any]]) -> str:
    """The verdicts on one problem as a line."""
    return json.dumps({"id": name, "verdicts": verdicts}, ensure_ascii=False) + "\n"
