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
    labels: tuple[bool | None, ...]
    """True up to the first error, where it is False; what follows is neither right nor wrong by itself: None."""


@runtime_checkable
class StepChecker(Protocol):
    """A task that knows more than answers. Steps are the lines of a completion that are not blank."""

    def step_labels(self, problem: Problem, steps: Sequence[str]) -> tuple[bool | None, ...]:
        """For each step whether it is right: True up to the first error, False there, None after it."""
        ...

    def corrupted(self, problem: Problem, rng: random.Random) -> CheckedSteps:
        """The reference solution with one error, from which it goes on as if nothing had happened."""
        ...
