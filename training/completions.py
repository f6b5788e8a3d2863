"""Completions as trainers hand them over: text, or the messages that answer a conversation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from deliberate.verifiers.tool_calls import CLOSE, OPEN

Completion: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Text, or the messages that answer a conversation."""


def completion_text(completion: Completion) -> str:
    """What was written, calls of tools with it; of several messages those of the assistant."""
    if isinstance(completion, str):
        return completion
    return "".join(_said(message) for message in completion if message.get("role", "assistant") == "assistant")


def _said(message: Mapping[str, Any]) -> str:
    calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
    written = [json.dumps({"name": c.get("name"), "arguments": c.get("arguments", {})}) for c in calls]
    return (message.get("content") or "") + "".join(f"{OPEN}{call}{CLOSE}" for call in written)
