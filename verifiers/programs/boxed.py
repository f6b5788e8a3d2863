"""Programs of any language, built once and run in boxes of their own."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.protocol import Executable, Language, Raised, Reply, Returned, Stopped
from deliberate.verifiers.programs.results import Found, TestLimits, shown
from deliberate.verifiers.programs.values import read_value
from deliberate.verifiers.sandbox.process import BoxedProcess
from deliberate.verifiers.sandbox.protocol import MIB, Limits, Outcome
from deliberate.verifiers.sandbox.sandbox import Sandbox

COMPILING = Limits(seconds=30.0, memory_bytes=1024 * MIB)


class BoxedProgram:
    """A candidate's source; what it is built into is kept."""

    def __init__(self, language: Language, source: str, sandbox: Sandbox) -> None:
        self._language, self._source, self._sandbox = language, source, sandbox
        self._built: dict[str | None, Executable] = {}

    async def check(self) -> None:
        """Raises CompileError where it does not compile, SandboxUnavailable."""
        await self.build()

    async def run(self, stdin: bytes, limits: Limits) -> Outcome:
        """Run it once to its end. Raises CompileError, SandboxUnavailable."""
        return await self._sandbox.run((await self.build()).job(limits, stdin))

    @asynccontextmanager
    async def calls(
        self, function: str, inputs: Sequence[Sequence[object]], limits: Limits
    ) -> AsyncGenerator["LineCalls"]:
        """Start it to answer calls of a function. Raises CompileError, Unsupported, SandboxUnavailable."""
        executable = await self.build(function)
        async with self._sandbox.open(executable.job(limits)) as process:
            yield LineCalls(process, iter(inputs))

    async def build(self, function: str | None = None) -> Executable:
        """As it is, or so that it answers calls. Raises CompileError, Unsupported, SandboxUnavailable."""
        if function not in self._built:
            source = self._source if function is None else self._language.with_calls(self._source, function)
            self._built[function] = await self._language.build(source, self._sandbox, COMPILING)
        return self._built[function]

    async def judge_assertions(self, tests: str, limits: TestLimits) -> Found:
        """Whether it gets to the end of tests of its own language, which share its process: a program that searches its
        memory for the mark can forge it. Raises CompileError, Unsupported, SandboxUnavailable."""
        mark = secrets.token_hex(16)
        source = self._language.with_tests(self._source, tests, mark)
        executable = await self._language.build(source, self._sandbox, COMPILING)
        outcome = await self._sandbox.run(executable.job(limits.box(limits.total_seconds)))
        if outcome.succeeded and mark.encode() in outcome.stdout.split():
            return Found(1, 1)
        complaint = outcome.stderr[-500:].decode(errors="replace").strip()
        return Found(0, 1, f"the tests ended by {outcome.ended}, status {outcome.code}: {shown(complaint)}")


@dataclass(frozen=True, slots=True)
class LineCalls:
    """Calls as lines of standard input and output; lines that bear no mark are the program's own business."""

    process: BoxedProcess
    inputs: Iterator[Sequence[object]]
    """Asked one at a time: the candidate may read the same standard input."""

    async def reply(self, seconds: float) -> Reply:
        """Wait so long for the answer to the next call. The program knows which function is meant."""
        mark = secrets.token_hex(8)
        self.process.send(json.dumps({"mark": mark, "arguments": next(self.inputs)}).encode() + b"\n")
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(mark)
        except TimeoutError:
            return Stopped("timeout")

    async def _answer(self, mark: str) -> Reply:
        while line := await self.process.line():
            if mark.encode() in line:
                said = _read(line)
                if said.get("mark") == mark:
                    return Returned(said["value"]) if "value" in said else Raised(str(said.get("raised", "")))
        outcome = await self.process.outcome()
        return Stopped(outcome.ended, outcome.stderr[-500:].decode(errors="replace").strip())


def _read(line: bytes) -> dict[str, object]:
    try:
        said = read_value(line)
    except NotPlain:
        return {}
    return said if isinstance(said, dict) else {}
