"""The labels of a solution's steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.training.labelling.solutions import Solution


@dataclass(frozen=True, slots=True)
class Labelled:
    """A solution with two labels for each step; None where there is none."""

    solution: Solution
    hard: tuple[bool | None, ...]
    """Whether all is right so far."""
    soft: tuple[float | None, ...]
    """The share of completions after the step that end right, where they were drawn."""

    @property
    def first_error(self) -> int | None:
        """Index of the first step labelled as wrong; None without one."""
        return first_error(self.hard)


def first_error(labels: Sequence[bool | float | None]) -> int | None:
    """Index of the first label below 1/2; None without one."""
    return next((index for index, label in enumerate(labels) if label is not None and label < 0.5), None)


def own_label(solution: Solution) -> bool | None:
    """Of the last step: a solution that ended is its own and only completion."""
    return solution.right if solution.finished else None


def unlabelled(solution: Solution) -> Labelled:
    """A solution of which nothing is known."""
    nothing = (None,) * len(solution.steps)
    return Labelled(solution, nothing, nothing)
