"""Finds the final answer in a reply, in the order of how plainly the reply marks it."""

import re

from deliberate.verifiers.equivalence import is_expression, quantity
from deliberate.verifiers.strict_json import NotJson, loads
from deliberate.verifiers.tool_calls import canonical_calls

MAX_CHARACTERS = 200_000
"""Of a longer reply, this much of its end is looked at."""
SHORT_LINE = 64
"""A reply of one line up to this many characters may be its own answer."""
PHRASED = 1000
"""Most characters of an answer after "The answer is"."""

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_ANSWER_OPEN, _ANSWER_CLOSE = "<answer>", "</answer>"
_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_PHRASE = re.compile(r"\banswer\b[*_]*(?:\s+(?:is|equals)\b|\s*[:=])(?:\s*therefore\b|\s*[:*_])*[ \t]*", re.IGNORECASE)
_PHRASE_END = re.compile(r"\n|[.!?;](?=\s|[*_`\"')\]]*\s|$)|,?\s(?:because|since|so|which)\s")
_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[ \t]*$", re.MULTILINE)
_PROSE = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{2,}\s")
_EQUATION = re.compile(r"\S\s*\S\s*=")
_NUMBER = re.compile(r"(?:(?<![\w.)%])-)?[$€£]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?[ ]?%?", re.ASCII)


def final_answer(text: str) -> str | None:
    """The answer that a reply ends with; None when it holds nothing that looks like one. Never raises.

    In order: the calls of tools, as JSON of their names and arguments; a reply that is one JSON document; the last
    `<answer>…</answer>` (or an open one, for a reply that stops before the closing tag); the last `\\boxed{…}`; the
    last `#### …`; the last "The answer is …" or "Answer: …"; the last fenced JSON block; the last number; and a reply
    of one short line itself (first, where that line is a bare quantity or expression). What stands inside
    `<think>…</think>` is looked at only when nothing follows it.
    """
    reply = after_reasoning(text[-MAX_CHARACTERS:])
    for find in (
        canonical_calls,
        _document,
        _tagged,
        boxed,
        _hashed,
        _phrased,
        _fenced,
        _expression_line,
        _last_number,
        _short_line,
    ):
        found = find(reply)
        if found is not None:
            return found.strip() or None
    return None


def after_reasoning(text: str) -> str:
    """What follows the last `</think>`; the reasoning itself when nothing does."""
    before, closed, after = text.rpartition(_THINK_CLOSE)
    reasoning, reply = (before, after) if closed else ("", text)
    if not reply.strip():
        reply = reasoning
    return reply.replace(_THINK_OPEN, "", 1) if reply.lstrip().startswith(_THINK_OPEN) else reply


def json_text(reply: str) -> str | None:
    """The part of a reply that should be JSON: the last fenced block marked `json` or not marked, or the whole."""
    blocks = _fenced_blocks(reply)
    return blocks[-1] if blocks else reply.strip() or None


def _document(reply: str) -> str | None:
    text = reply.strip()
    return text if text[:1] in ("{", "[") and _is_json(text) else None


def _tagged(reply: str) -> str | None:
    _, opened, answer = reply.rpartition(_ANSWER_OPEN)
    return answer.partition(_ANSWER_CLOSE)[0] if opened else None


def boxed(reply: str) -> str | None:
    """The content of the last box whose braces close; of nested boxes the innermost."""
    opened: list[int | None] = []
    found = (-1, -1)
    for match in _BOX_OR_BRACE.finditer(reply):
        token = match[0]
        if token == "}" and opened:
            start = opened.pop()
            if start is not None:
                found = max(found, (start, match.start()))
        elif token.endswith("{") and token != "\\{":
            opened.append(match.end() if token.startswith("\\") else None)
    return reply[found[0] : found[1]] if found[0] >= 0 else None


def _hashed(reply: str) -> str | None:
    """GSM8K's mark, told from a Markdown heading: a quantity, or the end of the reply."""
    end = len(reply.rstrip())
    found = None
    for match in _HASHES.finditer(reply):
        if match.end() >= end or quantity(match[1]) is not None:
            found = match[1]
    return found


def _phrased(reply: str) -> str | None:
    for match in reversed(list(_PHRASE.finditer(reply))):
        rest = reply[match.end() : match.end() + PHRASED]
        end = _PHRASE_END.search(rest)
        answer = (rest[: end.start()] if end else rest).strip(" \t*_`")
        if answer:
            return answer
    return None


def _fenced(reply: str) -> str | None:
    return next((block for block in reversed(_fenced_blocks(reply)) if _is_json(block)), None)


def _fenced_blocks(reply: str) -> list[str]:
    """Contents of closed code fences marked `json` or not marked."""
    fences = list(_FENCE.finditer(reply))
    pairs = zip(fences[::2], fences[1::2], strict=False)
    return [reply[a.end() : b.start()].strip() for a, b in pairs if a[1].lower() in ("json", "")]


def _expression_line(reply: str) -> str | None:
    line = _short_line(reply)
    if line is None or quantity(line) is not None:
        return line
    return line if is_expression(line) and not _PROSE.search(line) and not _EQUATION.search(line) else None


def _last_number(reply: str) -> str | None:
    found = None
    for match in _NUMBER.finditer(reply):
        found = match[0]
    return found


def _short_line(reply: str) -> str | None:
    line = reply.strip()
    return line if 0 < len(line) <= SHORT_LINE and "\n" not in line else None


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except NotJson:
        return False
    return True
