"""Assert-style tests of Python, in another process than what they test: asked questions are passed on between the two.

The tests' process decides, by Python's own rules, on plain data alone, and nothing of the candidate's ever runs in it:
an object that is no plain data, such as one that is equal to all, is a handle there, equal to nothing but itself.
Handles can be called and read, and exceptions of Python's own come through; functions cannot be passed to the
candidate, nor can tests ask for the class of its objects: that decides nothing. What the tests say at their end counts
for nothing but with the mark that only they were given.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deliberate.verifiers.programs.boxed import BoxedProgram
from deliberate.verifiers.programs.calling import MOST_STOPS
from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.pooled import PythonProgram, Questions, explained
from deliberate.verifiers.programs.protocol import CompileError, Program, Stopped, Unsupported
from deliberate.verifiers.programs.results import Found, TestLimits, shown
from deliberate.verifiers.programs.values import read_value
from deliberate.verifiers.sandbox.children import PythonChild
from deliberate.verifiers.sandbox.protocol import MIB, Limits

TESTING = Path(__file__).parent / "inside" / "testing.py"
_TESTS = Limits(seconds=3600.0, memory_bytes=512 * MIB)
_SLACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Assertions:
    """Tests as source."""

    source: str
    prefix: str = ""
    """What stands before the candidate; its helpers are run as the tests' own."""
    entry_point: str | None = None
    """What `check(candidate)` is called with."""

    async def judge(self, program: Program, limits: TestLimits, first_decides: bool) -> Found:
        """How many assertions hold. Raises CompileError, SandboxUnavailable, Unsupported."""
        if isinstance(program, PythonProgram):
            return await self._judge_python(program, limits, first_decides)
        if isinstance(program, BoxedProgram):
            return await program.judge_assertions(self.source, limits)
        raise Unsupported(f"no tests as source for {type(program).__name__}")

    async def _judge_python(self, program: PythonProgram, limits: TestLimits, first_decides: bool) -> Found:
        # First the tests' process and then the candidate's, here as everywhere: two who wait for each other's would
        # wait for ever.
        async with program.sandbox.python(TESTING, _TESTS) as tester, Respondent(program, limits) as candidate:
            mark = secrets.token_hex(8)
            task = {"mark": mark, "tests": self.source, "prefix": self.prefix, "entry_point": self.entry_point}
            tester.send_messages(json.dumps({**task, "all": first_decides}).encode())
            patience = Patience(limits.total_seconds + _SLACK_SECONDS)
            while "ask" in (said := await patience.listen(tester)):
                tester.send_messages(json.dumps(await candidate.answer(said["ask"])).encode())
            return _found(said, mark, candidate)


class Patience:
    """How long tests may take for themselves, the candidate's time and the wait for it apart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def listen(self, tester: PythonChild) -> dict[str, Any]:
        """What the tests say next. Raises SandboxUnavailable, and Unsupported where they say nothing more."""
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            async with asyncio.timeout(self._seconds):
                line = await tester.message()
        except TimeoutError:
            raise Unsupported("the tests took too long, not counting what they test") from None
        self._seconds -= clock() - start
        try:
            return dict(read_value(line))
        except (NotPlain, TypeError, ValueError):
            outcome = await tester.outcome()
            complaint = shown(outcome.stderr[-300:].decode(errors="replace").strip())
            raise Unsupported(f"the tests ended by {outcome.ended}, status {outcome.code}: {complaint}") from None


class Respondent(AsyncExitStack):
    """The candidate at work, started again when it was ended."""

    def __init__(self, program: PythonProgram, limits: TestLimits) -> None:
        super().__init__()
        self._program, self._limits = program, limits
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + limits.total_seconds
        self._questions: Questions | None = None
        self._stops = 0
        self._heard = hashlib.sha256()

    async def __aenter__(self) -> "Respondent":
        """Raises CompileError, SandboxUnavailable."""
        await super().__aenter__()
        self._questions = await self.enter_async_context(self._program.questions(self._limits.box(self._left())))
        return self

    @property
    def behaviour(self) -> str:
        """The same for candidates that were asked the same and answered the same."""
        return self._heard.hexdigest()[:16]

    async def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What it says, or that it says nothing. Raises SandboxUnavailable."""
        said = await self._ask(question)
        if isinstance(said, Stopped):
            said = {"stopped": True, "text": explained(said)}
        self._heard.update(json.dumps({**said, "mark": question}, sort_keys=True).encode())
        return said

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any] | Stopped:
        if self._left() <= 0 or self._stops >= MOST_STOPS:
            return Stopped("timeout", "it was ended too often before")
        try:
            if self._questions is None:
                self._questions = await self.enter_async_context(
                    self._program.questions(self._limits.box(self._left()))
                )
            said = await self._questions.ask(question, min(self._limits.seconds, self._left()))
        except CompileError as error:
            said = Stopped("exited", str(error))
        if isinstance(said, Stopped):
            self._stops += 1
            self._questions = None
            await self.aclose()
        return said

    def _left(self) -> float:
        return self._end - self._clock()


def _found(said: Mapping[str, Any], mark: str, candidate: Respondent) -> Found:
    if said.get("mark") != mark or "unsupported" in said:
        raise Unsupported(str(said.get("unsupported", "the tests said something else than how they went")))
    passed, failed = int(said["passed"]), int(said["failed"])
    return Found(passed, passed + failed, str(said["reason"]), candidate.behaviour)
