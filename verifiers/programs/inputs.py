"""What programs do on the same inputs."""

import asyncio
from dataclasses import dataclass
from typing import Any

from deliberate.verifiers.programs.calling import is_small, replies, reply_key
from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.protocol import Program, Reply, Returned
from deliberate.verifiers.programs.results import TestLimits, digest
from deliberate.verifiers.programs.streaming import Output, outcomes
from deliberate.verifiers.programs.values import Comparison


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a program did on all inputs."""

    key: str
    """The same for programs that did the same."""
    results: int
    """Inputs on which it gave a result."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Calls of a function, or texts on standard input where there is none."""

    function: str | None
    values: tuple[Any, ...]
    comparison: Comparison
    """Of results; a tolerance would make groups depend on their order, so it has none."""
    output: Output

    async def behaviour(self, program: Program, limits: TestLimits) -> Behaviour:
        """Raises CompileError, SandboxUnavailable, Unsupported."""
        if self.function is None:
            ran = [outcome async for outcome in outcomes(program, self.values, limits)]
            return Behaviour(digest(map(self.output.key, ran)), sum(outcome.succeeded for outcome in ran))
        answers = [reply async for reply in replies(program, self.function, self.values, limits)]
        keys = [await _key(reply, self.comparison) for reply in answers]
        return Behaviour(digest(keys), sum(isinstance(reply, Returned) for reply in answers))


async def _key(reply: Reply, comparison: Comparison) -> str:
    def key() -> str:
        try:
            return reply_key(reply, comparison)
        except NotPlain:
            return "no value"

    return key() if not isinstance(reply, Returned) or is_small(reply.value) else await asyncio.to_thread(key)
