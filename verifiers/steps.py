"""What a step of a chain is, the same for every verifier: a piece between separators that is not blank."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

Separator: TypeAlias = Annotated[str, Field(min_length=1, max_length=16)]


def split_steps(text: str, separator: str) -> list[str]:
    """The steps of a text, in order. A separator at the end opens no step."""
    return [piece for piece in text.split(separator) if piece.strip()]


def tokens_by_step(pieces: Sequence[bytes], separator: str) -> list[list[int]]:
    """Indices of the tokens of each step, given the bytes that each token stands for (none for special tokens).

    A token belongs to the step of its last byte that is not blank; blank and special tokens (separators, end of
    sequence) belong to the step before them. A step that one token shares with the next has that token too.
    """
    data = b"".join(pieces)
    starts = _step_starts(data, separator.encode())
    steps: list[list[int]] = [[] for _ in starts] or [[]]
    offset = 0
    for index, piece in enumerate(pieces):
        first = max(0, bisect_right(starts, offset) - 1)
        last = max(0, bisect_right(starts, offset + max(0, len(piece.rstrip()) - 1)) - 1)
        if not piece:
            first = last = max(0, bisect_right(starts, offset - 1) - 1)
        steps[last].append(index)
        for shared in range(first, last):
            if not steps[shared]:
                steps[shared].append(index)
        offset += len(piece)
    return steps


def _step_starts(data: bytes, separator: bytes) -> list[int]:
    starts, offset = list[int](), 0
    for piece in data.split(separator):
        if piece.decode("utf-8", "replace").strip():
            starts.append(offset)
        offset += len(piece) + len(separator)
    return starts
