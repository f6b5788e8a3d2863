"""What a step of a chain is, the same for every verifier: a piece between separators that is not blank.

A separator closes the step before it: whatever follows belongs to later steps, so that neither the tokens of a closed
step nor its score change when the chain goes on.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Field

Separator: TypeAlias = Annotated[str, Field(min_length=1, max_length=16)]


@dataclass(frozen=True, slots=True)
class Step:
    """The tokens of one step."""

    closed: bool
    """A separator has followed."""
    tokens: list[int] = field(default_factory=list[int])
    """Their indices in the chain, ascending, at least one."""

    def end(self, pieces: Sequence[bytes]) -> int:
        """The last of them that is not a special one, which the chain may end with or not; `pieces` are the bytes of
        the chain's tokens."""
        return max(self.tokens, key=lambda index: (pieces[index] != b"", index))


def split_steps(text: str, separator: str) -> list[str]:
    """The steps of a text, in order. A separator at the end opens no step."""
    return [piece for piece in text.split(separator) if piece.strip()]


def closed_steps(text: str, separator: str) -> int:
    """How many of the steps of a text are closed: all, or all but the last."""
    return sum(1 for piece in text.split(separator)[:-1] if piece.strip())


def before_last_step(text: str, separator: str) -> str:
    """The text up to the beginning of its last step."""
    end = len(text)
    for piece in reversed(text.split(separator)):
        start = end - len(piece)
        if piece.strip():
            return text[:start]
        end = start - len(separator)
    return ""


def tokens_by_step(pieces: Sequence[bytes], separator: str) -> list[Step]:
    """The tokens of each step, given the bytes that each token stands for (none for special tokens).

    A token belongs to the step of its last byte that is not blank. One that shows nothing (blanks, end of sequence)
    belongs to the step that is open where it begins; where none is, to the next, if there is one. A step that one
    token shares with the next has that token too. A chain that shows nothing at all is one step.
    """
    data = b"".join(pieces)
    ends, open_end = _ends(data, separator.encode())
    if not ends:
        return [Step(closed=False, tokens=list(range(len(pieces))))]
    steps = [Step(closed=index < len(ends) - 1 or not open_end) for index in range(len(ends))]
    offset = 0
    for index, piece in enumerate(pieces):
        first = bisect_right(ends, offset)
        last = min(len(steps) - 1, bisect_right(ends, offset + max(0, len(piece.rstrip()) - 1)))
        for number in range(first, last + 1):
            if number == last or not steps[number].tokens:
                steps[number].tokens.append(index)
        offset += len(piece)
    return steps


def _ends(data: bytes, separator: bytes) -> tuple[list[float], bool]:
    """Where each step ends, its separator with it, and whether the last is open: then it has no end."""
    ends, offset = list[float](), 0
    *closed, rest = data.split(separator)
    for piece in closed:
        offset += len(piece) + len(separator)
        if piece.decode("utf-8", "replace").strip():
            ends.append(offset)
    still_open = bool(rest.decode("utf-8", "replace").strip())
    return ([*ends, math.inf] if still_open else ends), still_open
