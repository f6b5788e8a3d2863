"""The first error of a solution by bisection (OmegaPRM, Luo et al. 2024, arXiv:2406.06592, section 3.2).

While the right answer can be reached from a step, all before it is right too; from the first error on it can not. So
log2 of the steps are asked instead of all. Labels that follow from this are hard ones only: steps before a right one
are right, and steps after the first error have no label. A solution with a right answer costs nothing, unless it is
checked too: models come to right answers by wrong steps now and then.

Errors that later steps make good break what bisection supposes. Asked one after the other, steps have the hard labels
of `monte_carlo` up to the first error.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from deliberate.training.labelling.labels import Labelled, own_label, unlabelled
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import States


async def binary_search(solutions: Sequence[Solution], states: States, *, bisect: bool = True) -> list[Labelled]:
    """Labels of solutions of one problem, one after the other, for each may learn from those before.

    Where even the whole problem is never solved, a failure after the first step says nothing, and nothing is labelled.
    Without `bisect` steps are asked in order.
    """
    for solution in solutions:
        states.add(solution)
    found = [(await search(solution, states, bisect=bisect)).labelled(states) for solution in solutions]
    if any(one.first_error == 0 for one in found) and not await states.is_right(()):
        return [unlabelled(one.solution) if one.first_error == 0 else one for one in found]
    return found


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


async def search(solution: Solution, states: States, *, bisect: bool = True) -> Search:
    """Look for the first error of one solution."""
    steps, own = len(solution.steps), own_label(solution)

    async def is_right(count: int) -> bool | None:
        if count == steps and solution.finished:
            return own
        return await states.is_right(solution.prefix(count))

    def reached() -> int:
        return states.reached(solution) if bisect else 0

    low = steps if own and not states.check_right else reached()
    high = steps if own is False else steps + 1
    return Search(solution, *await narrowed(low, high, is_right, reached, bisect=bisect))


async def narrowed(
    low: int,
    high: int,
    is_right: Callable[[int], Awaitable[bool | None]],
    reached: Callable[[], int] = lambda: 0,
    *,
    bisect: bool = True,
) -> tuple[int, int]:
    """The most steps known to be right, and the fewest known to be wrong; the first error is found where they meet.

    Args:
        low: a number of steps that is right, such as none.
        high: one that is wrong, or past the end.
        is_right: asks about a number between them; where it answers None, others are asked.
        reached: the most steps that are known to be right by now, from whatever was learned meanwhile.
        bisect: ask in the middle; otherwise in order.
    """
    undecided = set[int]()
    while between := [count for count in range(low + 1, high) if count not in undecided]:
        asked = min(between, key=lambda count: abs(2 * count - low - high)) if bisect else between[0]
        right = await is_right(asked)
        if right is None:
            undecided.add(asked)
        elif right:
            low = max(asked, min(reached(), high - 1))
        else:
            high = asked
    return low, high
