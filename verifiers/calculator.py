"""A rule-based step verifier: recomputes the arithmetic that a chain of reasoning writes down."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from deliberate.verifiers.aggregate import Aggregation, aggregate
from deliberate.verifiers.equations import Equation, equations
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.steps import Separator, split_steps

MAX_CHARACTERS = 200_000


class Calculator(VerifierConfig, frozen=True):
    """Recomputes every `a op b = c` of the chain with exact rationals.

    A step scores 1 when all its equations hold or it has none, else 0. A decimal is right when it is the exact value
    rounded to the digits it prints (`1 / 3 = 0.33` holds, `2 / 3 = 0.66` does not); an integer is exact, except
    after `≈`. A chain with nothing to check is `unavailable`, not wrong. Of an unfinished chain the last line is not
    judged.
    """

    kind: Literal["calculator"] = "calculator"
    aggregation: Aggregation = "min"
    """How the steps' scores become the candidate's."""
    step_separator: Separator = "\n"
    """What stands between two steps."""

    def build(self, resources: Resources) -> "CalculatorVerifier":
        return CalculatorVerifier(self)


@dataclass(frozen=True, slots=True)
class CalculatorVerifier:
    config: Calculator

    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return await asyncio.to_thread(lambda: [self._judge(candidate) for candidate in candidates])

    def _judge(self, candidate: Candidate) -> Verdict:
        if len(candidate.text) > MAX_CHARACTERS:
            return Verdict.undecided(f"the text has {len(candidate.text)} characters, more than {MAX_CHARACTERS}")
        found = [_checked(step) for step in self._steps(candidate)]
        checked = sum(map(len, found))
        if checked == 0:
            return Verdict.undecided("no equation to check")
        scores = tuple(float(all(equation.holds for equation in step)) for step in found)
        wrong = [(number, equation) for number, step in enumerate(found, 1) for equation in step if not equation.holds]
        reason = _complaint(*wrong[0]) if wrong else f"{checked} equation{'s' if checked > 1 else ''} hold"
        return Verdict(aggregate(self.config.aggregation, scores), not wrong, scores, reason)

    def _steps(self, candidate: Candidate) -> list[str]:
        text = candidate.text
        if not candidate.finished:
            complete, newline, _ = text.rpartition("\n")
            text = complete + newline
        return split_steps(text, self.config.step_separator)


def _checked(step: str) -> list[Equation]:
    return [equation for line in step.splitlines() for equation in equations(line)]


def _complaint(number: int, equation: Equation) -> str:
    return f"step {number}: {equation.left} = {equation.computed}, not {equation.right}"
