"""What a task may know beside answers: which steps of a solution are right."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from deliberate.training.tasks._protocol import Problem


@dataclass(frozen=True, slots=True)
class CheckedSteps:
    """A solution with exact labels."""

    steps: tuple[str, ...]
    """In order, without their separators."""
    labels: tuple[bool, ...]
    """True up to the first error, where it is False; after it, whether the step is back at what is true."""


@runtime_checkable
class StepChecker(Protocol):
    """A task that knows more than answers. Steps are the lines of a completion that are not blank."""

    def step_labels(self, problem: Problem, steps: Sequence[str]) -> tuple[bool, ...]:
        """For each step whether it is right: True up to the first error, False there; after it, whether the step comes
        to what is true at its place all the same, as where a slip is made good. So the last label of a whole
        solution says whether its answer is right."""
        ...

    def corrupted(self, problem: Problem, rng: random.Random) -> CheckedSteps:
        """The reference solution with one error, from which it goes on as if nothing had happened."""
        ...
