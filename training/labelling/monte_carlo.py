"""Monte-Carlo labels (Math-Shepherd, Wang et al. 2023, arXiv:2312.08935, section 3.3).

A step is as good as the completions that are drawn after it: its soft label is the share of those that end right
(equation 4), its hard label whether any does (equation 3). Of N completions for each of the T steps of a solution that
makes N * (T - 1), for the last step is labelled by the solution's own answer. Solutions of one problem share the
completions of the beginnings that they have in common.
"""

from collections.abc import Sequence

from deliberate.engines.merging import together
from deliberate.training.labelling.labels import Labelled, own_label
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import Prefix, States


async def monte_carlo(solutions: Sequence[Solution], states: States) -> list[Labelled]:
    """Labels of all steps of solutions of one problem; the completions of all prefixes run at once."""
    wanted = dict.fromkeys(prefix for solution in solutions for prefix in _completed(solution))
    await together([states.complete(prefix) for prefix in wanted])
    return [_labelled(solution, states) for solution in solutions]


def _completed(solution: Solution) -> list[Prefix]:
    """The prefixes that are completed: of a solution that ended, all but itself."""
    return solution.prefixes[:-1] if solution.finished else solution.prefixes


def _labelled(solution: Solution, states: States) -> Labelled:
    estimates = [states.estimate(prefix) for prefix in _completed(solution)]
    hard = [None if estimate is None else estimate.reachable for estimate in estimates]
    soft = [None if estimate is None else estimate.share for estimate in estimates]
    if solution.finished:
        own = own_label(solution)
        hard.append(own)
        soft.append(None if own is None else float(own))
    return Labelled(solution, tuple(hard), tuple(soft))
