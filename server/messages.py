"""One message of a conversation, as clients send it and as engines take it."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from deliberate.server.bodies import RequestModel
from deliberate.server.validation import unsupported

_TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""Part types of a message's content that are text, and the field that holds it."""


def _text(content: Any) -> Any:
    """The text of a list of content parts; anything else as it is."""
    if not isinstance(content, list):
        return content
    return "".join(_text_of_part(part) for part in cast(list[Any], content))


def _text_of_part(part: Any) -> str:
    fields = cast(dict[str, Any], part) if isinstance(part, dict) else {}
    text = fields.get(_TEXT_PARTS.get(str(fields.get("type")), ""))
    if not isinstance(text, str):
        raise unsupported("A content part", fields or str(part), 'Send text parts: {"type": "text", "text": "..."}.')
    return text


_CONTENT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                "required": ["type", "text"],
            },
        },
        {"type": "null"},
    ]
}


class ChatMessage(RequestModel):
    """One message of the conversation. Replies may be sent back as they came."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """`developer` is read as `system`."""
    content: Annotated[str | None, BeforeValidator(_text), WithJsonSchema(_CONTENT_SCHEMA)] = None
    """Text, or a list of text parts. Only assistants may say null."""
    name: str | None = None
    """The speaker; models whose chat template knows names see it."""
    reasoning_content: str | None = None
    """An assistant's earlier chain of thought; models whose chat template keeps it see it."""
    reasoning: str | None = None
    """The same as `reasoning_content`."""
    tool_calls: list[dict[str, Any]] | None = None
    """An assistant's earlier calls; models whose chat template knows them see them."""
    tool_call_id: str | None = None
    """Which call a tool's message answers."""
    refusal: str | None = None
    """Accepted as part of an earlier reply; changes nothing."""
    annotations: list[Any] | None = None
    """Accepted as part of an earlier reply; changes nothing."""
    audio: None = None
    """Only null, as in earlier replies."""
    function_call: None = None
    """Only null, as in earlier replies."""

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} needs content: a string or a list of text parts")
        return self

    def wire(self) -> dict[str, Any]:
        """In OpenAI's format, without what says nothing. Only beside calls of tools does a content of null stay."""
        fields = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self.content or "",
            "name": self.name,
            "reasoning_content": self.reasoning_content or self.reasoning,
            "tool_calls": self.tool_calls,
            "tool_call_id": self.tool_call_id,
        }
        said = {key: value for key, value in fields.items() if value is not None}
        return said | ({"content": None} if self.tool_calls and self.content is None else {})
