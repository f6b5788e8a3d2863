"""The first error of a solution by bisection (OmegaPRM, Luo et al. 2024, arXiv:2406.06592, section 3.2).

While the right answer can be reached from a step, all before it is right too; from the first error on it can not. So
log2 of the steps are asked instead of all. Labels that follow from this are hard ones only: steps before a right one
are right, and steps after the first error have no label. A solution with a right answer costs nothing, unless it is
checked too: models come to right answers by wrong steps now and then.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from deliberate.training.labelling.labels import Labelled, own_label, unlabelled
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import States


async def binary_search(solutions: Sequence[Solution], states: States) -> list[Labelled]:
    """Labels of solutions of one problem, one after the other, for each may learn from those before."""
    for solution in solutions:
        states.add(solution)
    found = [await search(solution, states) for solution in solutions]
    return await solvable([one.labelled(states) for one in found], states)


async def solvable(labelled: Sequence[Labelled], states: States) -> list[Labelled]:
    """The same, but of solutions that fail in the first step only those of a problem that can be solved.

    Where even the whole problem is never solved, a failure says nothing.
    """
    if any(one.first_error == 0 for one in labelled) and not await states.is_right(()):
        return [unlabelled(one.solution) if one.first_error == 0 else one for one in labelled]
    return list(labelled)


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found out about a solution."""

    solution: Solution
    low: int
    """The most steps known to be right."""
    high: int
    """The fewest known to be wrong; past the end where none are."""

    @property
    def error(self) -> int | None:
        """The first wrong step, counted from 1; None where there is none, or it was not found."""
        return self.high if self.high == self.low + 1 and self.high <= len(self.solution.steps) else None

    def labelled(self, states: States) -> Labelled:
        """Right up to `low`, wrong where the error is, and unknown between and behind."""
        hard = [
            True if count <= self.low else (False if count == self.error else None)
            for count in range(1, len(self.solution.steps) + 1)
        ]
        soft = [states.share(prefix) for prefix in self.solution.prefixes]
        own = own_label(self.solution)
        if own is not None:
            soft[-1] = float(own)
        told = self.error or len(soft)
        return Labelled(self.solution, tuple(hard), (*soft[:told], *(None for _ in soft[told:])))


async def search(solution: Solution, states: States) -> Search:
    """Look for the first error of one solution."""
    steps, own = len(solution.steps), own_label(solution)

    async def is_right(count: int) -> bool | None:
        if count == steps and solution.finished:
            return own
        return await states.is_right(solution.prefix(count))

    low = steps if own and not states.check_right else states.reached(solution)
    high = steps if own is False else steps + 1
    return Search(solution, *await narrowed(low, high, is_right, lambda: states.reached(solution)))


async def narrowed(
    low: int, high: int, is_right: Callable[[int], Awaitable[bool | None]], reached: Callable[[], int] = lambda: 0
) -> tuple[int, int]:
    """The most steps known to be right, and the fewest known to be wrong; the first error is found where they meet.

    Args:
        low: a number of steps that is right, such as none.
        high: one that is wrong, or past the end.
        is_right: asks about a number between them; where it answers None, others are asked.
        reached: the most steps that are known to be right by now, from whatever was learned meanwhile.
    """
    undecided = set[int]()
    while between := [count for count in range(low + 1, high) if count not in undecided]:
        middle = min(between, key=lambda count: abs(2 * count - low - high))
        right = await is_right(middle)
        if right is None:
            undecided.add(middle)
        elif right:
            low = max(middle, min(reached(), high - 1))
        else:
            high = middle
    return low, high
