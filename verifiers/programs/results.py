"""What was found of one candidate's program, and what it was allowed to use."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from deliberate.verifiers.sandbox.protocol import Limits

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class TestLimits:
    """What one candidate may use for all its tests."""

    seconds: float
    """For each test."""
    total_seconds: float
    """For all tests together."""
    memory_bytes: int

    def box(self, seconds: float) -> Limits:
        """For a program that may run so long."""
        return Limits(seconds=seconds, memory_bytes=self.memory_bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """How the tests of one candidate went."""

    passed: int
    total: int
    reason: str = ""
    """What the first failure was."""
    behaviour: str | None = None
    """The same for programs that gave the same results; None where it gave none."""


def digest(parts: Iterable[str]) -> str:
    """One short text for many."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return hashed.hexdigest()[:16]


def shown(text: str) -> str:
    """A program's words for people to read: on one line, cut, and nothing in them acts on a terminal."""
    return repr(text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…")
