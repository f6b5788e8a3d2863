"""How a model goes on from the beginning of a solution, and whether it ends right."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completion:
    """The rest of a solution, as it was drawn."""

    tokens: tuple[int, ...]
    """Those after the prefix."""
    right: bool | None
    """Whether the solution's final answer is right; None where nothing could be decided."""
    finished: bool = True
    """False when it was cut by length."""


class Completer(Protocol):
    """Completes solutions of one problem."""

    async def complete(self, prefix: tuple[int, ...], n: int, seed: int) -> list[Completion]:
        """n ways to go on after the tokens of a solution's beginning.

        Completion i depends on the prefix and `seed + i` alone, so that `n` of them are the first of any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the completions of one prefix showed."""

    right: int
    decided: int
    """How many are known to be right or wrong."""

    @classmethod
    def of(cls, completions: Iterable[Completion]) -> "Estimate":
        decided = [completion.right for completion in completions if completion.right is not None]
        return cls(sum(decided), len(decided))

    @property
    def share(self) -> float | None:
        """MC(s), the soft label of Math-Shepherd: the share of right ones. None where nothing was decided."""
        return self.right / self.decided if self.decided else None

    @property
    def reachable(self) -> bool | None:
        """Its hard label: whether any was right. None where nothing was decided."""
        return self.right > 0 if self.decided else None
