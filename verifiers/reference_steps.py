"""Follows a chain step by step beside a worked reference solution, up to the first step that differs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.steps import Separator, closed_steps, split_steps

_TURNABLE = re.compile(r"([\d.,]+) ?([+*\u00d7]) ?([\d.,]+) ?= ?(\S+)")


class ReferenceSteps(VerifierConfig, frozen=True):
    """Compares each step with the reference solution's, for rewards of steps and for labels.

    Steps agree when their words do, whatever the blanks between them; a sum or a product of two numbers may be turned
    round. They score 1 up to the first that differs, which scores 0; of those after it nothing is said. A candidate
    passes when it takes all steps of the reference and no other. One that is not finished is judged by its closed
    steps.
    """

    kind: Literal["reference_steps"] = "reference_steps"
    solution: str = Field(min_length=1, max_length=200_000)
    """A worked solution; its steps are the right ones."""
    step_separator: Separator = "\n"
    """What stands between two steps, of the solution as of the candidates."""

    def build(self, resources: Resources) -> "ReferenceStepsVerifier":
        return ReferenceStepsVerifier.of(self)


@dataclass(frozen=True, slots=True)
class ReferenceStepsVerifier:
    config: ReferenceSteps
    expected: tuple[str, ...]

    judges = Judges.STEPS

    @classmethod
    def of(cls, config: ReferenceSteps) -> "ReferenceStepsVerifier":
        """With the solution's steps as they are compared."""
        return cls(config, tuple(map(_comparable, split_steps(config.solution, config.step_separator))))

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self._judge(candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> Verdict:
        separator = self.config.step_separator
        steps = split_steps(candidate.text, separator)
        if not candidate.finished:
            steps = steps[: closed_steps(candidate.text, separator)]
        agreeing = self._agreeing(steps)
        if agreeing < len(steps):
            reason = f"step {agreeing + 1} differs from the reference: {steps[agreeing].strip()[:200]}"
            return Verdict(0.0, False, (1.0,) * agreeing + (0.0,), reason)
        ones = (1.0,) * agreeing
        if not candidate.finished:
            if not steps:
                return Verdict.undecided("no step has ended yet")
            return Verdict(1.0, None, ones, f"the {agreeing} steps so far agree")
        complete = agreeing == len(self.expected)
        return Verdict.decided(complete, "" if complete else f"ends after step {agreeing}", ones)

    def _agreeing(self, steps: Sequence[str]) -> int:
        """How many steps agree before the first that does not."""
        for number, step in enumerate(steps):
            if number >= len(self.expected) or _comparable(step) != self.expected[number]:
                return number
        return len(steps)


def _comparable(step: str) -> str:
    """Equal for steps that say the same."""
    text = " ".join(step.split())
    match = _TURNABLE.fullmatch(text)
    if match is None:
        return text
    first, second = sorted((match[1], match[3]))
    return f"{first} {match[2]} {second} = {match[4]}"
