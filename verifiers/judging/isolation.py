"""Keeps what a judge reads apart from what it is told: a candidate may be written to fool it.

A text stands between two lines that share a mark, which the text itself does not hold, so that it cannot close them.
The mark is drawn from the texts alone: the same question is asked in the same words, and only whoever has the whole
text knows its mark.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from itertools import count

_CONTROL_TOKENS = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,60}[|\uff5c]>|/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn)>|<SYS>>|</SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\])"
)
"""The brackets that open what chat templates write between turns, in the families of models that are known."""


def enclosed(texts: Mapping[str, str]) -> str:
    """Each text under its name, between lines that it cannot imitate."""
    harmless = {name: without_control_tokens(text) for name, text in texts.items()}
    mark = _mark("\0".join(harmless.values()))
    return "\n\n".join(f"[{name} {mark} begins]\n{text}\n[{name} {mark} ends]" for name, text in harmless.items())


def without_control_tokens(text: str) -> str:
    """The text with a blank inside whatever a tokenizer may take for the end of a turn."""
    return _CONTROL_TOKENS.sub(lambda opening: opening[0] + " ", text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of it: where it is longer, its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _mark(text: str) -> str:
    """The first digest of the text that does not stand in it."""
    encoded = text.encode()
    marks = (blake2b(encoded, digest_size=4, salt=number.to_bytes(8)).hexdigest() for number in count())
    return next(mark for mark in marks if mark not in text)
