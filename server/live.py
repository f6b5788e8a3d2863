"""A choice that is shown while it is written: its chain of thought, its content and its calls of tools, told apart."""

from dataclasses import dataclass

from deliberate.engines.protocol import Delta
from deliberate.server.chat import Chat
from deliberate.server.logprobs import ContentTokens
from deliberate.server.reasoning import ReasoningSplitter
from deliberate.server.replies import Logprobs
from deliberate.server.tool_calls import Piece, ToolCallSplitter
from deliberate.verifiers.tool_calls import ToolCall


@dataclass(frozen=True, slots=True)
class Shown:
    """New parts of a choice."""

    reasoning: str = ""
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    logprobs: Logprobs | None = None
    """Of the content."""


class LiveChoice:
    """A choice whose tokens are shown as they come."""

    def __init__(self, chat: Chat) -> None:
        self._reasoning = ReasoningSplitter(chat.thinks_from_start())
        self._calls = ToolCallSplitter() if chat.offers_tools else None
        tokens = ContentTokens(chat.model.engine.tokenizer, chat.request.top_logprobs or 0)
        self._tokens = tokens if chat.request.logprobs else None
        self.begun = False
        """Whether any of it was shown."""
        self.called = False
        """Whether it has called a tool."""

    def add(self, delta: Delta) -> Shown:
        """What the delta lets be shown."""
        if self._tokens is not None:
            self._tokens.add(delta.token_ids, delta.logprobs, delta.top_logprobs)
        split = self._reasoning.push(delta.text)
        return self._shown(split.reasoning, self._piece(split.content))

    def flush(self) -> Shown:
        """What was held back."""
        split = self._reasoning.flush()
        piece = self._piece(split.content)
        rest = Piece() if self._calls is None else self._calls.flush()
        return self._shown(split.reasoning, Piece(piece.content + rest.content, piece.calls))

    def _piece(self, content: str) -> Piece:
        return Piece(content) if self._calls is None else self._calls.push(content)

    def _shown(self, reasoning: str, piece: Piece) -> Shown:
        self.called = self.called or bool(piece.calls)
        self.begun = self.begun or bool(reasoning or piece.content or piece.calls)
        logprobs = None
        if self._tokens is not None and piece.content:
            logprobs = self._tokens.take(self._reasoning.content_start, self._reasoning.consumed)
        return Shown(reasoning, piece.content, piece.calls, logprobs)
