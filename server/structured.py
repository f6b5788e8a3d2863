"""Structured output as callers ask for it, in OpenAI's words (`response_format`) and in vLLM's."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

from pydantic import Field, ValidationError, model_validator

from deliberate.engines.protocol import Capabilities, StructuredOutput
from deliberate.server.bodies import RequestModel
from deliberate.server.validation import not_supported

_INSTEAD = (
    'Let a verifier check the answers instead: "strategy": {"kind": "best_of_n", "n": 8, '
    '"verifier": {"kind": "json", "schema": {...}}}.'
)


class JsonSchemaFormat(RequestModel):
    """A schema, and what it is called."""

    name: str | None = None
    """Accepted; changes nothing."""
    description: str | None = None
    """Accepted; changes nothing."""
    json_schema: Mapping[str, Any] = Field(alias="schema")
    """The JSON schema that the text satisfies."""
    strict: bool | None = None
    """Accepted: schemas are always followed to the letter."""


class ResponseFormat(RequestModel):
    """OpenAI's form of the text."""

    type: Literal["text", "json_object", "json_schema"]
    """`text` is free."""
    json_schema: JsonSchemaFormat | None = None
    """Only with `json_schema`, and needed there."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("a response_format has a json_schema exactly when its type is 'json_schema'")
        return self

    @property
    def form(self) -> StructuredOutput | None:
        """As engines take it; None for free text."""
        if self.json_schema is not None:
            return StructuredOutput(json_schema=self.json_schema.json_schema)
        return StructuredOutput(json_object=True) if self.type == "json_object" else None


class StructuredOutputs(RequestModel):
    """vLLM's form of the text; exactly one field is set."""

    json_schema: Mapping[str, Any] | str | None = Field(None, alias="json")
    """A JSON schema, or its text."""
    json_object: bool | None = None
    """Any JSON object."""
    regex: str | None = None
    """A match of the whole text."""
    choice: list[str] | None = None
    """One of these."""
    grammar: str | None = None
    """A sentence of this EBNF grammar."""

    @model_validator(mode="after")
    def _is_one_form(self) -> Self:
        try:
            _ = self.form
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return self

    @property
    def form(self) -> StructuredOutput:
        """As engines take it."""
        schema = _read(self.json_schema) if isinstance(self.json_schema, str) else self.json_schema
        return StructuredOutput(
            json_schema=schema,
            json_object=self.json_object or None,
            regex=self.regex,
            choice=None if self.choice is None else tuple(self.choice),
            grammar=self.grammar,
        )


def _read(schema: str) -> Mapping[str, Any]:
    value: object = json.loads(schema)
    if not isinstance(value, dict):
        raise ValueError("a JSON schema is an object")
    return cast(Mapping[str, Any], value)


def form_of(
    response_format: ResponseFormat | None, structured_outputs: StructuredOutputs | None, capabilities: Capabilities
) -> StructuredOutput | None:
    """The form that was asked for. Raises InvalidRequest where the engine cannot enforce it."""
    for param, asked in (("response_format", response_format), ("structured_outputs", structured_outputs)):
        if asked is not None and asked.form is not None:
            if not capabilities.structured_output:
                raise not_supported(param, asked.model_dump(by_alias=True, exclude_none=True), _INSTEAD)
            return asked.form
    return None
