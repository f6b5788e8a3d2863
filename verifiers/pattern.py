"""The `regex` verifier: does a pattern match the reply, or its final answer?"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

import regex
from pydantic import Field, FiniteFloat, field_validator

from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

MAX_REPEATS = 10_000
"""Product of all repeat counts of a pattern: compiling unrolls them, and a count in the billions takes all memory."""
MAX_CHARACTERS = 1_000_000

_REPEAT = re.compile(r"\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}")


class Pattern(VerifierConfig, frozen=True):
    """A regular expression, in the syntax of Python's `regex` package (a superset of `re`)."""

    kind: Literal["regex"] = "regex"
    pattern: Annotated[str, Field(max_length=2_000)]
    mode: Literal["search", "fullmatch"] = "search"
    """`search` finds it anywhere, `fullmatch` wants the whole text to match."""
    on: Literal["reply", "answer"] = "reply"
    """The whole reply, or its extracted final answer."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=30)] = 0.5
    """Seconds for one candidate."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        _compile(pattern)
        return pattern

    def build(self, resources: Resources) -> "PatternVerifier":
        return PatternVerifier(self, _compile(self.pattern))


@dataclass(frozen=True, slots=True)
class PatternVerifier:
    config: Pattern
    pattern: regex.Pattern[str]

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        # A thread and not a worker process: `regex` releases the interpreter's lock and keeps its own time limit.
        return [await asyncio.to_thread(self._judge, candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> Verdict:
        text = final_answer(candidate.text) if self.config.on == "answer" else candidate.text
        if text is None:
            return Verdict.decided(False, "no final answer found")
        if len(text) > MAX_CHARACTERS:
            return Verdict.undecided(f"the text has {len(text)} characters, more than {MAX_CHARACTERS}")
        match = self.pattern.fullmatch if self.config.mode == "fullmatch" else self.pattern.search
        try:
            found = match(text, timeout=self.config.timeout_s, concurrent=True)
        except TimeoutError:
            return Verdict.undecided(f"matching took more than {self.config.timeout_s:g} s", "timeout")
        except MemoryError:
            return Verdict.undecided("matching ran out of memory")
        return Verdict.decided(found is not None, "matches" if found else f"{self.config.pattern!r} does not match")


def _compile(pattern: str) -> regex.Pattern[str]:
    """Raises ValueError, with the position for an error of syntax."""
    if prod(_repeats(pattern)) > MAX_REPEATS:
        raise ValueError(f"the repeat counts of the pattern multiply to more than {MAX_REPEATS}")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"invalid pattern: {error}") from error
    except RecursionError as error:
        raise ValueError("invalid pattern: it nests too deep") from error


def _repeats(pattern: str) -> list[int]:
    counts = (match[2] or match[1] or "1" for match in _REPEAT.finditer(pattern))
    return [max(1, int(count)) if len(count) < 7 else MAX_REPEATS + 1 for count in counts]
