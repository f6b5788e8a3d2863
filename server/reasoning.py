"""Telling a chain of thought from the answer: `<think>…</think>` at the beginning of a text."""

from dataclasses import dataclass
from enum import Enum, auto

OPEN = "<think>"
CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class Split:
    """Text told apart. Both parts may be empty."""

    reasoning: str = ""
    content: str = ""


class _Place(Enum):
    BEFORE = auto()
    REASONING = auto()
    AFTER = auto()
    CONTENT = auto()


class ReasoningSplitter:
    """Splits text that arrives in pieces; tags may span pieces.

    A chain counts only at the beginning of the text. Whitespace after the closing tag is dropped, all else kept as
    written. `inside` starts within the chain, for prompts that end in an opening tag.
    """

    def __init__(self, inside: bool = False) -> None:
        self._place = _Place.REASONING if inside else _Place.BEFORE
        self._held = ""
        self.consumed = 0
        """Bytes of the text that have been shown or dropped so far."""
        self.content_start: int | None = None
        """Byte offset of the content in the text, once it has begun."""

    def push(self, text: str) -> Split:
        """What is certain by now."""
        self._held += text
        reasoning = ""
        content = ""
        while True:
            place = self._place
            match place:
                case _Place.BEFORE:
                    self._open()
                case _Place.REASONING:
                    reasoning += self._read_reasoning()
                case _Place.AFTER:
                    self._skip_space()
                case _Place.CONTENT:
                    content += self._take(len(self._held))
            if self._place is place:
                return Split(reasoning, content)

    def flush(self) -> Split:
        """What was held back, once no more text comes."""
        match self._place:
            case _Place.REASONING:
                return Split(reasoning=self._take(len(self._held)))
            case _Place.BEFORE:
                self._begin_content()
                return Split(content=self._take(len(self._held)))
            case _:
                return Split()

    def _open(self) -> None:
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._take(len(self._held) - len(start) + len(OPEN))
            self._place = _Place.REASONING
        elif not OPEN.startswith(start):
            self._begin_content()

    def _read_reasoning(self) -> str:
        position = self._held.find(CLOSE)
        if position >= 0:
            reasoning = self._take(position)
            self._take(len(CLOSE))
            self._place = _Place.AFTER
            return reasoning
        return self._take(len(self._held) - _overlap(self._held))

    def _skip_space(self) -> None:
        self._take(len(self._held) - len(self._held.lstrip()))
        if self._held:
            self._begin_content()

    def _begin_content(self) -> None:
        self.content_start = self.consumed
        self._place = _Place.CONTENT

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        self.consumed += len(taken.encode())
        return taken


def starts_inside(prompt_end: bytes, text: str = "") -> bool:
    """Whether the chain was opened by the prompt: it ends in the tag, or the finished text only closes it."""
    if prompt_end.rstrip().endswith(OPEN.encode()):
        return True
    return CLOSE in text and OPEN not in text.partition(CLOSE)[0]


def _overlap(text: str) -> int:
    longest = min(len(text), len(CLOSE) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(CLOSE[:size])), 0)
