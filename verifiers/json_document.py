"""The `json` verifier: does the reply parse, and does it satisfy a JSON Schema?"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import jsonschema_rs
from pydantic import ConfigDict, Field, FiniteFloat, model_validator

from deliberate.verifiers.answers import after_reasoning, json_text
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.strict_json import NotJson, loads
from deliberate.verifiers.workers import WorkerLost, WorkerPool

MAX_SCHEMA_NODES = 10_000
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class JsonDocument(VerifierConfig, frozen=True):
    """The reply is one strict JSON document: no NaN, no key given twice, bounded size and depth.

    What follows the reasoning is read: its last code fence (marked `json` or not marked), else all of it.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind: Literal["json"] = "json"
    json_schema: Annotated[dict[str, Any] | bool | None, Field(alias="schema")] = None
    """A JSON Schema (draft 4 to 2020-12, by its `$schema`) to satisfy. References stay inside it, and its patterns are
    without look-around and back-references."""

    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=30)] = 2.0
    """Seconds for the validation of one reply, in a process that is killed then."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        if self.json_schema is not None:
            compile_schema(self.json_schema)
        return self

    def build(self, resources: Resources) -> "JsonDocumentVerifier":
        schema = None if self.json_schema is None else json.dumps(self.json_schema)
        return JsonDocumentVerifier(schema, self.timeout_s, resources.workers)


@dataclass(frozen=True, slots=True)
class JsonDocumentVerifier:
    schema: str | None
    timeout_s: float
    workers: WorkerPool

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return list(await asyncio.gather(*map(self._judge, candidates)))

    async def _judge(self, candidate: Candidate) -> Verdict:
        text = json_text(after_reasoning(candidate.text)) or ""
        try:
            await asyncio.to_thread(loads, text)
        except NotJson as error:
            return Verdict.decided(False, str(error))
        if self.schema is None:
            return Verdict.decided(True, "valid")
        try:
            complaint = await self.workers.run(self.timeout_s, first_violation, self.schema, text)
        except TimeoutError:
            return Verdict.undecided(f"validating took more than {self.timeout_s:g} s", "timeout")
        except (WorkerLost, MemoryError) as error:
            return Verdict.undecided(f"validating failed: {error}")
        return Verdict.decided(complaint is None, complaint or "valid")


def first_violation(schema: str, document: str) -> str | None:
    """Where a document breaks a schema, both as JSON text. Runs in a worker: a recursive schema can take for ever."""
    error = next(_compiled(schema).iter_errors(loads(document)), None)
    return None if error is None else f"{_path(error.instance_path)}: {_shortened(error.message)}"


@lru_cache(maxsize=16)
def _compiled(schema: str) -> jsonschema_rs.Validator:
    return compile_schema(json.loads(schema))


def compile_schema(schema: dict[str, Any] | bool) -> jsonschema_rs.Validator:
    """The schema at work. Raises ValueError, naming the place, if it is invalid or refers outside itself."""
    for count, (path, key, value) in enumerate(_members(schema)):
        if count > MAX_SCHEMA_NODES:
            raise ValueError(f"the schema has more than {MAX_SCHEMA_NODES} members")
        if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
            raise ValueError(f"the schema's {path} {value!r} leaves the schema; references must start with '#'")
    try:
        # Linear-time patterns: the backtracking ones are a way to stop the server.
        return jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"invalid JSON Schema at {_path(error.instance_path)}: {_shortened(error.message)}") from error
    except jsonschema_rs.ReferencingError as error:
        raise ValueError(f"invalid JSON Schema: {_shortened(str(error))}") from error


def _members(schema: dict[str, Any] | bool) -> Iterator[tuple[str, str, Any]]:
    """Every (path, key, value) of every object in the schema, without recursion."""
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        path, node = waiting.pop()
        items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
        for key, value in items:
            yield f"{path}/{key}", str(key), value
            waiting.append((f"{path}/{key}", value))


def _path(parts: Sequence[str | int]) -> str:
    """Where in the document, as a path from `$`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _shortened(message: str) -> str:
    line = message.strip().partition("\n")[0]
    return line if len(line) <= 300 else line[:300] + "…"
