"""A judge on an engine that says what a test says."""

import re
from typing import Any

from deliberate.engines.scripted import ScriptedEngine
from deliberate.verifiers.judge import Judge
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.workers import WorkerPool

QUESTION = Problem(({"role": "user", "content": "What is 40 + 2?"},))

_BLOCK = re.compile(
    r"\[(?P<name>[a-z ]*answer(?: [AB])?) (?P<mark>\w{8}) begins]\n(.*?)\n\[(?P=name) (?P=mark) ends]", re.S
)


def answers_in(prompt: str) -> list[str]:
    """What stands between the marks of answers, in order."""
    return [block[3] for block in _BLOCK.finditer(prompt)]


class Bench:
    """The judge's engine, which may be given instead of its script, and the resources that lend it."""

    def __init__(self, workers: WorkerPool, script: Any, **options: Any) -> None:
        wide: dict[str, Any] = {"context_length": 100_000, **options}
        self.engine = script if isinstance(script, ScriptedEngine) else ScriptedEngine(script, **wide)
        self.resources = Resources(workers, {"tiny": ScriptedEngine(["?"]), "judge": self.engine}, "tiny", "judge")

    async def __call__(self, *texts: str, problem: Problem = QUESTION, **options: Any) -> list[Verdict]:
        verifier = Judge.model_validate(options).build(self.resources)
        return await verifier.verify(problem, [Candidate(text) for text in texts])

    @property
    def prompts(self) -> list[str]:
        """Everything it was asked."""
        return [bytes(call.prompt_ids).decode() for call in self.engine.calls]
