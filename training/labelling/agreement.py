"""How well labels find first errors: the F1 of ProcessBench (Zheng et al. 2024, arXiv:2412.06559).

A label of a solution is right when it names the very step where the first error is, or that there is none. F1 is the
harmonic mean of the share that is right among solutions with an error, and of the share among those without.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstErrors:
    """Shares of solutions whose first error, or its absence, was found."""

    wrong: float
    """Of the solutions that have one."""
    right: float
    """Of those that have none."""
    solutions: int

    @property
    def f1(self) -> float:
        total = self.wrong + self.right
        return 2 * self.wrong * self.right / total if total else 0.0

    @classmethod
    def of(cls, pairs: Iterable[tuple[int | None, int | None]]) -> "FirstErrors":
        """Of pairs: the index of the true first error and of the one that was found; None where there is none.

        Raises ValueError without solutions of both kinds.
        """
        wrong, right = list[bool](), list[bool]()
        for true, found in pairs:
            (right if true is None else wrong).append(true == found)
        if not wrong or not right:
            raise ValueError("F1 needs solutions with errors and without")
        return cls(sum(wrong) / len(wrong), sum(right) / len(right), len(wrong) + len(right))
