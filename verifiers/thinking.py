"""Telling a reply's chain of thought from what follows it, as clients are shown it."""

from typing import Literal, TypeAlias

OPEN, CLOSE = "<think>", "</think>"

Part: TypeAlias = Literal["all", "reasoning", "reply"]
"""Of a text: all of it, what stands in `<think>…</think>` at its beginning, or what follows."""


def part_of(text: str, part: Part) -> str:
    """That part of a text; empty where it lacks it."""
    if part == "all":
        return text
    reasoning, reply = parted(text)
    return reasoning if part == "reasoning" else reply


def parted(text: str) -> tuple[str, str]:
    """The chain of thought at the beginning, which the prompt may have opened, and the rest."""
    before, closed, after = text.partition(CLOSE)
    beginning = before.lstrip()
    if beginning.startswith(OPEN):
        return beginning.removeprefix(OPEN), after.lstrip()
    if closed and OPEN not in before:
        return before, after.lstrip()
    return "", text
