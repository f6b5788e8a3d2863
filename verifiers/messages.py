"""Reading chat messages."""

from typing import Any, cast

from deliberate.engines.protocol import Message


def text_of(message: Message) -> str:
    """What a message says in words; of one in parts, such as texts and pictures, its texts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = cast(list[Any], content) if isinstance(content, list) else []
    return "\n".join(str(cast(dict[str, Any], part).get("text", "")) for part in parts if isinstance(part, dict))
