"""Finds the proof in a reply."""

import re
from collections.abc import Sequence

from deliberate.verifiers.answers import after_reasoning
from deliberate.verifiers.provers.protocol import Script

# Possessive: a hostile line cannot make the search try its parts in all ways.
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+-]*+)[^\n`]*+$", re.MULTILINE)


def script_in(text: str, finished: bool, languages: Sequence[str]) -> Script:
    """The last fenced block in one of the languages, else the last that names none, else the whole of a reply without
    fences. A block that does not end is one to the end of the reply; reasoning is not looked at before it ends.
    """
    if not finished and text.lstrip().startswith("<think>") and "</think>" not in text:
        return Script("", finished, fenced=False)
    reply = after_reasoning(text)
    blocks = _blocks(reply)
    if not blocks:
        return Script(reply.strip(), finished, fenced=False)
    wanted = [body for mark, body in blocks if mark in languages] or [body for mark, body in blocks if not mark]
    return Script(wanted[-1] if wanted else "", finished, fenced=True)


def _blocks(reply: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    blocks = list[tuple[str, str]]()
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(reply):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            blocks.append((opened[2].lower(), reply[opened.end() : fence.start()]))
            opened = None
    return blocks if opened is None else [*blocks, (opened[2].lower(), reply[opened.end() :])]
