"""Assert-style tests of Python, in another process than what they test: asked questions are passed on between the two.

The tests' process decides, by Python's own rules, on plain data alone, and nothing of the candidate's ever runs in it.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deliberate.verifiers.programs.boxed import BoxedProgram
from deliberate.verifiers.programs.calling import MOST_STOPS
from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.pooled import PythonProgram, Questions, explained
from deliberate.verifiers.programs.protocol import CompileError, Program, Stopped, Unsupported
from deliberate.verifiers.programs.results import Found, TestLimits
from deliberate.verifiers.programs.values import read_value
from deliberate.verifiers.sandbox.pool import PythonChild
from deliberate.verifiers.sandbox.protocol import MIB

TESTING = Path(__file__).parent / "inside" / "testing.py"


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
        patience = replace(limits.box(2 * limits.total_seconds), memory_bytes=max(limits.memory_bytes, 256 * MIB))
        async with program.sandbox.python(TESTING, patience) as tester, Respondent(program, limits) as candidate:
            mark = secrets.token_hex(8)
            task = {"mark": mark, "tests": self.source, "prefix": self.prefix, "entry_point": self.entry_point}
            tester.send_message(json.dumps({**task, "all": first_decides}).encode())
            while True:
                said = await _listen(tester)
                if "ask" not in said:
                    return _found(said, mark, candidate)
                tester.send_message(json.dumps(await candidate.answer(said["ask"])).encode())


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


async def _listen(tester: PythonChild) -> dict[str, Any]:
    line = await tester.message()
    try:
        said = read_value(line)
    except NotPlain:
        said = None
    if not isinstance(said, dict):
        outcome = await tester.outcome()
        complaint = outcome.stderr[-300:].decode(errors="replace").strip()
        raise Unsupported(f"the tests ended by {outcome.ended}, status {outcome.code}: {complaint}")
    return said


def _found(said: Mapping[str, Any], mark: str, candidate: Respondent) -> Found:
    if said.get("mark") != mark or "unsupported" in said:
        raise Unsupported(str(said.get("unsupported", "the tests said something else than how they went")))
    passed, failed = int(said["passed"]), int(said["failed"])
    return Found(passed, passed + failed, str(said["reason"]), candidate.behaviour)
