"""Tests by calls: arguments go in one test at a time, and what comes back is compared on the host."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.pooled import explained
from deliberate.verifiers.programs.protocol import CompileError, Program, Raised, Reply, Returned, Stopped
from deliberate.verifiers.programs.results import Found, TestLimits, digest, shown
from deliberate.verifiers.programs.values import Comparison, Value

MOST_STOPS = 3
"""A program that was ended so often for one candidate gets no more chances."""


@dataclass(frozen=True, slots=True)
class Call:
    """One test."""

    arguments: tuple[Value, ...]
    expected: Value


@dataclass(frozen=True, slots=True)
class Calls:
    """Tests of a function."""

    function: str
    tests: tuple[Call, ...]
    comparison: Comparison

    async def judge(self, program: Program, limits: TestLimits, first_decides: bool) -> Found:
        """How many it passes. Raises CompileError, SandboxUnavailable, Unsupported."""
        passed, reason, keys = 0, "", list[str]()
        async with aclosing(replies(program, self.function, [test.arguments for test in self.tests], limits)) as given:
            async for reply in given:
                test = self.tests[len(keys)]
                key, right = await _read(reply, test.expected, self.comparison)
                keys.append(key)
                passed += right
                if not right:
                    reason = reason or f"{_call(self.function, test)} {_told(reply)}"
                    if first_decides:
                        break
        return Found(passed, len(self.tests), reason, digest(keys))


async def replies(
    program: Program, function: str, inputs: Sequence[Sequence[Value]], limits: TestLimits
) -> AsyncGenerator[Reply, None]:
    """What it answers to each input, in order; where it was ended, it is started again for those that remain.

    Raises CompileError, SandboxUnavailable, Unsupported.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + limits.total_seconds
    answered = 0
    for start in range(MOST_STOPS):
        if answered == len(inputs) or clock() >= end:
            break
        try:
            async with program.calls(function, inputs[answered:], limits.box(end - clock())) as session:
                while answered < len(inputs):
                    reply = await session.reply(min(limits.seconds, max(0.0, end - clock())))
                    answered += 1
                    yield reply
                    if isinstance(reply, Stopped):
                        break
        except CompileError:
            if start == 0:
                raise
            break
    for _ in inputs[answered:]:
        yield Stopped("timeout", "it was ended too often before")


def reply_key(reply: Reply, comparison: Comparison) -> str:
    """The same text for replies that say the same. Raises NotPlain."""
    if isinstance(reply, Returned):
        return comparison.key(reply.value)
    return f"raised {reply.text.partition(':')[0]}" if isinstance(reply, Raised) else f"stopped {reply.ended}"


async def _read(reply: Reply, expected: Value, comparison: Comparison) -> tuple[str, bool]:
    """Its key, and whether it is the right one."""

    def read() -> tuple[str, bool]:
        try:
            key = reply_key(reply, comparison)
            return key, isinstance(reply, Returned) and comparison.equal(expected, reply.value)
        except NotPlain:
            return "no value", False

    # What takes long to read must not take the event loop's time.
    return read() if not isinstance(reply, Returned) or is_small(reply.value) else await asyncio.to_thread(read)


def is_small(value: Value) -> bool:
    """Whether comparing it takes no time to speak of."""
    if isinstance(value, list | dict):
        parts = value if isinstance(value, list) else value.values()
        return len(parts) < 100 and not any(isinstance(part, list | dict) or not is_small(part) for part in parts)
    return not isinstance(value, str) or len(value) < 1000


def _call(function: str, test: Call) -> str:
    arguments = ", ".join(json.dumps(argument) for argument in test.arguments)
    return f"{function}({arguments if len(arguments) <= 80 else arguments[:80] + '…'})"


def _told(reply: Reply) -> str:
    match reply:
        case Returned():
            return f"gives {shown(json.dumps(reply.value))}"
        case Raised():
            return f"raises {shown(reply.text)}"
        case Stopped():
            return f"gives nothing: {shown(explained(reply))}"
