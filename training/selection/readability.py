"""The form of a completion that people can read."""

import re

_CODE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_BREAK = re.compile(r"\n[ \t]*\n")


def has_code(text: str) -> bool:
    """Whether a fenced block of code begins in it."""
    return _CODE.search(text) is not None


def longest_paragraph(text: str) -> int:
    """Characters of the longest piece between blank lines."""
    return max(len(paragraph.strip()) for paragraph in _BREAK.split(text))
