"""The first error of a solution step by step, as Monte-Carlo labels would have it.

Each step gets completions up to the first right one, and the first step without any ends the search: up to there the
hard labels are those of `monte_carlo` with the same completions, for little more than one of them for each step. Unlike
bisection this does not suppose that all before a right step is right, which errors that later steps make good break.
"""

from collections.abc import Sequence
from dataclasses import replace

from deliberate.training.labelling.binary_search import solvable
from deliberate.training.labelling.labels import Labelled, own_label, unlabelled
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import States


async def sequential(solutions: Sequence[Solution], states: States) -> list[Labelled]:
    """Labels of solutions of one problem. Steps after the first error have none."""
    return await solvable([await _searched(solution, states) for solution in solutions], states)


async def _searched(solution: Solution, states: States) -> Labelled:
    hard = list[bool | None]()
    for count in range(1, len(solution.steps) + 1):
        ended = count == len(solution.steps) and solution.finished
        hard.append(own_label(solution) if ended else await states.is_right(solution.prefix(count)))
        if hard[-1] is False:
            break
    nothing = unlabelled(solution)
    return replace(nothing, hard=(*hard, *nothing.hard[len(hard) :]))
