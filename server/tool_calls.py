"""Telling calls of tools from the text around them."""

import uuid
from dataclasses import dataclass

from deliberate.server.replies import ToolCallFunction, ToolCallReply
from deliberate.verifiers.tool_calls import OPEN, ToolCall, first_block, read_block


@dataclass(frozen=True, slots=True)
class Piece:
    """What a text has shown. Both parts may be empty."""

    content: str = ""
    calls: tuple[ToolCall, ...] = ()


class ToolCallSplitter:
    """Splits text that arrives in pieces; blocks may span pieces.

    Whitespace beside a call is dropped, all else kept as written. A block that is not closed or no call is content.
    """

    def __init__(self) -> None:
        self._held = ""
        self._after_call = False

    def push(self, text: str) -> Piece:
        """What is certain by now."""
        self._held += text
        content = ""
        calls: list[ToolCall] = []
        while (block := first_block(self._held)) is not None:
            start, end = block
            call = read_block(self._held[start:end])
            if call is None:
                content += self._take(end)
                continue
            content += self._take(start).rstrip()
            self._take(end - start)
            calls.append(call)
            self._after_call = True
        if OPEN not in self._held:
            content += self._take(_certain(self._held))
        else:
            content += self._take(len(self._held[: self._held.find(OPEN)].rstrip()))
        return Piece(content, tuple(calls))

    def flush(self) -> Piece:
        """What was held back, once no more text comes."""
        return Piece(self._take(len(self._held)))

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        if self._after_call:
            taken = taken.lstrip()
            self._after_call = not taken
        return taken


def _certain(text: str) -> int:
    """How much of a text without a block's beginning can be neither one nor the whitespace before one."""
    longest = min(len(text), len(OPEN) - 1)
    overlap = next((size for size in range(longest, 0, -1) if text.endswith(OPEN[:size])), 0)
    return len(text[: len(text) - overlap].rstrip())


def split_calls(text: str) -> Piece:
    """A whole text, split."""
    splitter = ToolCallSplitter()
    body, rest = splitter.push(text), splitter.flush()
    return Piece(body.content + rest.content, body.calls)


def reply_calls(calls: tuple[ToolCall, ...]) -> list[ToolCallReply]:
    """As replies write them; a call without an id gets one."""
    return [
        ToolCallReply(
            id=call.id or f"call_{uuid.uuid4().hex[:24]}",
            function=ToolCallFunction(name=call.name, arguments=call.arguments),
        )
        for call in calls
    ]
