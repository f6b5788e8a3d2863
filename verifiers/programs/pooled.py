"""Python programs in warm interpreters: a child for each, which answers one question after another."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.protocol import CompileError, Raised, Reply, Returned, Stopped
from deliberate.verifiers.programs.values import read_value
from deliberate.verifiers.sandbox.children import PythonChild
from deliberate.verifiers.sandbox.protocol import MIB, Limits, Outcome
from deliberate.verifiers.sandbox.sandbox import Sandbox

ANSWERING = Path(__file__).parent / "inside" / "answering.py"
LONGEST_REPLY = 256 << 10
"""Bytes. What is longer is no answer."""
_AHEAD = 16
"""So many of the longest replies are less than what a child may say before anybody listens."""
_SHORT_REPLY = 4 << 10
"""Reading so much takes no time to speak of."""
_PARSING = Limits(seconds=5.0, memory_bytes=512 * MIB)


@dataclass(frozen=True, slots=True)
class PythonProgram:
    """A candidate's Python."""

    sandbox: Sandbox
    sources: tuple[str, ...]
    """Ways to put it together; the first that parses counts."""

    async def check(self) -> None:
        """Raises CompileError where it does not parse, SandboxUnavailable."""
        async with self.sandbox.python(ANSWERING, _PARSING, stdio=False) as child:
            _checked(await Questions(child).ask({"parse": self.sources}, _PARSING.seconds), "parsed")

    async def run(self, stdin: bytes, limits: Limits) -> Outcome:
        """Run it once to its end. Raises SandboxUnavailable."""
        async with self.sandbox.python(ANSWERING, limits) as child:
            child.send_messages(json.dumps({"run": self.sources}).encode())
            child.send(stdin)
            child.close_input()
            return await child.outcome()

    @asynccontextmanager
    async def calls(
        self, function: str, inputs: Sequence[Sequence[object]], limits: Limits
    ) -> AsyncGenerator["FunctionCalls"]:
        """Load it and call that function. Raises SandboxUnavailable; the first reply raises CompileError."""
        calls = ({"target": {"name": function}, "arguments": arguments} for arguments in inputs)
        async with self.sandbox.python(ANSWERING, limits, stdio=False) as child:
            yield FunctionCalls(Questions(child), {"load": self.sources}, calls, limits.seconds)

    @asynccontextmanager
    async def questions(self, limits: Limits) -> AsyncGenerator["Questions"]:
        """Load it, to ask what `inside/answering.py` can answer. Raises CompileError, SandboxUnavailable."""
        async with self.sandbox.python(ANSWERING, limits, stdio=False) as child:
            questions = Questions(child)
            _checked(await questions.ask({"load": self.sources}, limits.seconds), "loaded")
            yield questions


class Questions:
    """Asks a child, one question at a time. After a `Stopped` it answers nothing more."""

    def __init__(self, child: PythonChild) -> None:
        self._child = child

    async def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any] | Stopped:
        """The answer to it. Raises SandboxUnavailable."""
        (mark,) = self.send(question)
        return await self.answer(mark, seconds)

    def send(self, *questions: Mapping[str, Any]) -> list[str]:
        """Ask without waiting; the marks that the answers will bear, which come in the order of their questions."""
        marks = [secrets.token_hex(8) for _ in questions]
        marked = zip(marks, questions, strict=True)
        self._child.send_messages(*(json.dumps({"mark": mark, **question}).encode() for mark, question in marked))
        return marks

    async def answer(self, mark: str, seconds: float) -> dict[str, Any] | Stopped:
        """The next answer, which must bear this mark. Raises SandboxUnavailable."""
        try:
            async with asyncio.timeout(seconds):
                line = await self._child.message()
        except TimeoutError:
            return Stopped("timeout")
        if not line:
            return _stopped(await self._child.outcome())
        try:
            reply = await _read(line)
        except NotPlain:
            reply = None
        if isinstance(reply, dict) and reply.get("mark") == mark:
            return reply
        return Stopped("exited", "it wrote what is no answer to the question")


class FunctionCalls:
    """Calls of functions with plain data. Some are asked ahead: the child need not wait for the host between them."""

    def __init__(
        self, questions: Questions, loading: Mapping[str, Any], calls: Iterator[Mapping[str, Any]], seconds: float
    ) -> None:
        """`loading` is the question that loads the program, which may take so long."""
        self._questions, self._calls, self._seconds = questions, calls, seconds
        self._loading, *marks = questions.send(loading, *islice(calls, _AHEAD))
        self._marks = deque(marks)

    async def reply(self, seconds: float) -> Reply:
        """Wait so long for the answer to the next call. The first one raises CompileError."""
        if self._loading is not None:
            _checked(await self._questions.answer(self._loading, self._seconds), "loaded")
            self._loading = None
        said = await self._questions.answer(self._marks.popleft(), seconds)
        self._marks += self._questions.send(*islice(self._calls, 1))
        if isinstance(said, Stopped):
            return said
        return Returned(said["value"]) if "value" in said else Raised(str(said.get("text", "")))


def explained(stopped: Stopped) -> str:
    """Why no answer came, in words."""
    reasons = {
        "timeout": "it took too long",
        "memory": "it took too much memory",
        "output": "it wrote too much",
        "disk": "it filled its folder",
    }
    return reasons.get(stopped.ended) or stopped.text or "it ended"


async def _read(line: bytes) -> Any:
    """Raises NotPlain."""
    if len(line) > LONGEST_REPLY:
        raise NotPlain(f"more than {LONGEST_REPLY} bytes")
    return read_value(line) if len(line) <= _SHORT_REPLY else await asyncio.to_thread(read_value, line)


def _checked(said: dict[str, Any] | Stopped, wanted: str) -> None:
    if isinstance(said, Stopped):
        raise CompileError(explained(said))
    if wanted not in said:
        raise CompileError(str(said.get("syntax") or said.get("text")))


def _stopped(outcome: Outcome) -> Stopped:
    complaint = outcome.stderr[-500:].decode(errors="replace").strip().rpartition("\n")[2]
    return Stopped(outcome.ended, complaint or f"it ended with status {outcome.code} instead of answering")
