"""OmegaPRM (Luo et al. 2024, arXiv:2406.06592): a tree of states, grown where a first error is worth looking for.

A rollout that ended wrong although the right answer could be reached from its state s hides a first error. The
rollouts r of all states with 0 < MC(s) < 1 are searched in the order of Q(s, r) + U(s), where

    Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / L)              len(r) in tokens
    U(s) = c_puct * sqrt(sum_i N(s_i)) / (1 + N(s))              N counts the searches from a state

by bisection: each state that is asked on the way gets k completions of its own, whose wrong ones are further material.
The search ends with the budget or the material. Where states are reused, beyond the paper, one through which a right
rollout of an earlier state passes is right at no cost: labels are cheaper, but the tree grows less and has fewer soft
ones. Without bisection steps are asked in order, so that errors that later steps make good are found too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from deliberate.training.labelling.binary_search import search
from deliberate.training.labelling.completions import Completion, Estimate
from deliberate.training.labelling.labels import Labelled
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import Prefix, States, joined


@dataclass(frozen=True, slots=True)
class Priority:
    """Constants of the order, with the values of the paper."""

    alpha: float = 0.5
    """Below 1, rollouts of states that are mostly solved come first: their errors are the most convincing."""
    beta: float = 0.9
    """Below 1, short rollouts come first."""
    length_scale: float = 500.0
    """L, in tokens."""
    c_puct: float = 0.125
    """Weight of states from which few searches began."""

    def value(self, share: float, length: int) -> float:
        """Q of a rollout of so many tokens from a state with that MC."""
        return self.alpha ** (1 - share) * self.beta ** (length / self.length_scale)

    def exploration(self, visits: int, all_visits: int) -> float:
        """U of a state."""
        return self.c_puct * sqrt(all_visits) / (1 + visits)


async def omega_prm(
    solutions: Sequence[Solution], states: States, priority: Priority = Priority(), *, bisect: bool = True
) -> list[Labelled]:
    """Labels of one problem's solutions that ended right and of those wrong rollouts that were searched, in order.

    `solutions` count among the completions of the empty state, which are made up to k; where none of them is right, k
    are drawn. A search that the budget ended has the labels that were found until then.
    """
    for solution in solutions:
        states.add(solution)
    first = await _root(solutions, states)
    if first is None:
        return []
    right = [solution for solution in first if solution.right]
    found = [await search(solution, states, bisect=bisect) for solution in dict.fromkeys(right)]
    tree = _Tree(states, priority)
    tree.open((), Estimate.of(_as_completion(solution) for solution in first), first)
    while not states.exhausted and (chosen := tree.pop()) is not None:
        found.append(await search(chosen, states, bisect=bisect))
        tree.grow(chosen)
    labelled = [one.labelled(states) for one in found]
    return [one for one in labelled if any(label is not None for label in one.hard)]


async def _root(solutions: Sequence[Solution], states: States) -> list[Solution] | None:
    """The rollouts of the empty state; None where the budget does not allow what is missing."""
    solved = any(solution.right for solution in solutions)
    missing = states.num_completions - len(solutions) * solved
    drawn = await states.complete((), missing) if missing > 0 else []
    if drawn is None:
        return None
    wholes = [joined((), completion, states.cut) for completion in drawn]
    return [*solutions, *(whole for whole in wholes if whole is not None)]


def _as_completion(solution: Solution) -> Completion:
    return Completion(solution.tokens, solution.right, solution.finished)


@dataclass(slots=True)
class _State:
    share: float
    visits: int = 0


@dataclass(frozen=True, slots=True)
class _Rollout:
    state: _State
    whole: Solution
    length: int
    """Of what was drawn, in tokens."""


@dataclass(slots=True)
class _Tree:
    """The states that were opened, and their wrong rollouts that were not searched yet."""

    states: States
    priority: Priority
    opened: dict[Prefix, _State] = field(default_factory=dict[Prefix, _State])
    pool: list[_Rollout] = field(default_factory=list[_Rollout])
    searched: set[Prefix] = field(default_factory=set[Prefix])

    def open(self, prefix: Prefix, estimate: Estimate, wholes: Sequence[Solution]) -> None:
        """Take in a state with its rollouts, where there is an error to look for."""
        if estimate.share is None:
            return
        state = self.opened[prefix] = _State(estimate.share)
        if 0 < state.share < 1:
            self.pool += [
                _Rollout(state, whole, len(whole.tokens) - len(prefix)) for whole in wholes if whole.right is False
            ]

    def pop(self) -> Solution | None:
        """The wrong rollout that is to be searched next, each once; None without any."""
        self.pool = [rollout for rollout in self.pool if rollout.whole.tokens not in self.searched]
        if not self.pool:
            return None
        visits = sum(state.visits for state in self.opened.values())
        best = max(self.pool, key=lambda rollout: self._urgency(rollout, visits))
        best.state.visits += 1
        self.searched.add(best.whole.tokens)
        return best.whole

    def _urgency(self, rollout: _Rollout, visits: int) -> float:
        state = rollout.state
        return self.priority.value(state.share, rollout.length) + self.priority.exploration(state.visits, visits)

    def grow(self, whole: Solution) -> None:
        """Open the states that the search of a solution asked."""
        for prefix in whole.prefixes:
            completions = self.states.drawn.get(prefix)
            if completions is None or prefix in self.opened:
                continue
            wholes = [joined(prefix, completion, self.states.cut) for completion in completions]
            self.open(prefix, Estimate.of(completions), [one for one in wholes if one is not None])
