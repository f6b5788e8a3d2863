"""Inputs for functions that nobody gave tests for: those that the task shows, then random ones of the same types."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deliberate.verifiers.programs.inputs import Inputs
from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.streaming import Output
from deliberate.verifiers.programs.values import Comparison, read_value
from deliberate.verifiers.sandbox.protocol import MIB, Limits
from deliberate.verifiers.sandbox.sandbox import Sandbox

GUESSING = Path(__file__).parent / "inside" / "guessing.py"
_LIMITS = Limits(seconds=10.0, memory_bytes=256 * MIB)
_MOST_SOURCES = 16
"""So many candidates' signatures are read."""
_LONGEST_TASK = 100_000


@dataclass(frozen=True, slots=True)
class Guesses:
    """How inputs are made up."""

    task: str
    """What was asked for, in words and examples."""
    entry_point: str | None
    """None for the function that the task shows, else the one that most programs define."""
    count: int
    comparison: Comparison
    output: Output

    async def inputs(self, sandbox: Sandbox, sources: Sequence[str]) -> Inputs | None:
        """The same for the same Python sources; None where nothing shows what to call. Raises SandboxUnavailable."""
        mark = secrets.token_hex(8)
        question = {"task": self.task[-_LONGEST_TASK:], "sources": sorted(set(sources))[:_MOST_SOURCES]}
        question |= {"mark": mark, "entry_point": self.entry_point, "count": self.count, "seed": 0}
        async with sandbox.python(GUESSING, _LIMITS) as child:
            child.send_messages(json.dumps(question).encode())
            line = await child.message()
        try:
            said = read_value(line)
        except NotPlain:  # Sources can be written so that readers of sources fail: then the task must do.
            return await self.inputs(sandbox, ()) if sources else None
        if not said.get("inputs"):
            return None
        return Inputs(said["function"], tuple(said["inputs"]), self.comparison, self.output)
