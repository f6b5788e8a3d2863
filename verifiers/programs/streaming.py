"""Tests by standard input and output: each is one run, whose output is compared on the host."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import isclose
from typing import Literal

from deliberate.verifiers.programs.calling import MOST_STOPS
from deliberate.verifiers.programs.pooled import explained
from deliberate.verifiers.programs.protocol import Program, Stopped
from deliberate.verifiers.programs.results import Found, TestLimits, digest, shown
from deliberate.verifiers.sandbox.protocol import Outcome


@dataclass(frozen=True, slots=True)
class Stream:
    """One test."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class Output:
    """When two outputs count as equal."""

    whitespace: Literal["exact", "trailing", "tokens"] = "trailing"
    """Whether all of it counts, all but what ends lines and the output, or only that it parts words."""
    tolerance: float = 0.0
    """With `tokens`, numbers may differ so much: relative to the larger, or absolute."""

    def equal(self, expected: str, given: str) -> bool:
        left, right = self.normal(expected), self.normal(given)
        if self.whitespace != "tokens" or self.tolerance == 0 or left == right:
            return left == right
        return len(left) == len(right) and all(map(self._near, left, right))

    def normal(self, text: str) -> list[str]:
        """What of an output counts."""
        match self.whitespace:
            case "exact":
                return [text]
            case "trailing":
                return "\n".join(line.rstrip() for line in text.splitlines()).rstrip().split("\n")
            case "tokens":
                return text.split()

    def key(self, outcome: Outcome) -> str:
        """The same text for runs that printed the same."""
        if not outcome.succeeded:
            return f"failed {outcome.ended}"
        return "printed " + "\n".join(self.normal(outcome.stdout.decode(errors="replace")))

    def _near(self, expected: str, given: str) -> bool:
        try:
            return isclose(float(expected), float(given), rel_tol=self.tolerance, abs_tol=self.tolerance)
        except ValueError:
            return expected == given


@dataclass(frozen=True, slots=True)
class Streams:
    """Tests of a whole program: it must end by itself, with status 0, and have printed what is expected."""

    tests: tuple[Stream, ...]
    output: Output

    async def judge(self, program: Program, limits: TestLimits, first_decides: bool) -> Found:
        """How many it passes. Raises CompileError, SandboxUnavailable."""
        passed, reason, keys = 0, "", list[str]()
        async with aclosing(outcomes(program, [test.stdin for test in self.tests], limits)) as ran:
            async for outcome in ran:
                test = self.tests[len(keys)]
                printed = outcome.stdout.decode(errors="replace")
                keys.append(self.output.key(outcome))
                right = outcome.succeeded and self.output.equal(test.stdout, printed)
                passed += right
                if not right:
                    reason = reason or f"given {shown(test.stdin)} it {_told(outcome, printed)}"
                    if first_decides:
                        break
        return Found(passed, len(self.tests), reason, digest(keys))


async def outcomes(program: Program, inputs: Sequence[str], limits: TestLimits) -> AsyncGenerator[Outcome, None]:
    """What comes out of one run for each input, in order; after too many that were ended nothing runs any more.

    Raises CompileError, SandboxUnavailable.
    """
    end = asyncio.get_running_loop().time() + limits.total_seconds
    stops = 0
    for text in inputs:
        seconds = min(limits.seconds, end - asyncio.get_running_loop().time())
        if stops >= MOST_STOPS or seconds <= 0:
            yield Outcome("timeout", -1, b"", b"it was ended too often before", 0.0)
            continue
        outcome = await program.run(text.encode(errors="surrogatepass"), limits.box(seconds))
        stops += outcome.ended != "exited"
        yield outcome


def _told(outcome: Outcome, printed: str) -> str:
    if outcome.succeeded:
        return f"prints {shown(printed)}"
    complaint = outcome.stderr[-500:].decode(errors="replace").strip().rpartition("\n")[2]
    return f"fails: {shown(explained(Stopped(outcome.ended, complaint or f'status {outcome.code}')))}"
