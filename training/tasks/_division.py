"""Which side of the train / held-out division something lies on, by its hash alone."""

import hashlib
from collections.abc import Iterable

from deliberate.training.tasks._protocol import Split

HELD_OUT_SHARE = 4
"""One in this many of each kind of part is held out."""


def division(**parts: Iterable[object]) -> Split | None:
    """Test where all parts are held out, train where none is, None where they disagree; empty parts have no say.

    A part is a named sequence that makes a problem what it is. Problems that share one never lie on different sides.
    """
    sides = {_is_held_out(name, texts) for name, part in parts.items() if (texts := list(map(str, part)))}
    return None if len(sides) != 1 else "test" if sides == {True} else "train"


def digest(text: str) -> str:
    """Sixteen hexadecimal digits, for ids."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _is_held_out(name: str, texts: list[str]) -> bool:
    return hashlib.blake2b(f"{name}:{','.join(texts)}".encode(), digest_size=8).digest()[0] % HELD_OUT_SHARE == 0
