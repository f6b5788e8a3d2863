"""What a tree search learns of its steps: visits, values, and which step is worth the next visit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, sqrt

from deliberate.search.events import Visited
from deliberate.search.nodes import Node
from deliberate.search.ranking import mean_logprob

PUCT_BASE = 19652
"""Visits from which on exploration grows, as in AlphaZero (Silver et al. 2018)."""


@dataclass(slots=True, eq=False)
class Branch:
    """A step that simulations may follow, and what they found there."""

    node: Node
    parent: "Branch | None" = None
    prior: float = 1.0
    """The policy's probability of the step, among the steps that were drawn after the same chain."""
    children: "list[Branch]" = field(default_factory=lambda: list[Branch]())
    draws: int = 0
    """How often steps were drawn after it."""
    visits: int = 0
    total: float = 0.0
    """Sum of the values of its visits."""
    losses: int = 0
    """Simulations on their way below it: as long as their value is unknown each counts as a visit of value 0 (virtual
    loss)."""
    spent: bool = False
    """Nothing new can be found here: a finished chain that was visited, or one that cannot be extended."""
    open: bool = True
    """A simulation may go here: there is something to find which none is after already."""

    @property
    def trials(self) -> int:
        """Visits, with those to come."""
        return self.visits + self.losses

    @property
    def value(self) -> float:
        """Mean over the visits; before the first the verifier's score, or what the chain before it is worth."""
        if self.trials:
            return self.total / self.trials
        if self.node.value is not None:
            return self.node.value
        return 0.5 if self.parent is None else self.parent.value

    def lineage(self) -> "Iterator[Branch]":
        """This step and all before it, to the root."""
        branch: Branch | None = self
        while branch is not None:
            yield branch
            branch = branch.parent

    def adopt(self, children: "Iterable[Branch]") -> None:
        """More steps that may follow it; equal ones stay one."""
        known = {child.node.chain.token_ids for child in self.children}
        self.children = [*self.children, *(new for new in children if new.node.chain.token_ids not in known)]
        self.spent = not self.children
        weigh(self, self.children)

    def enter(self) -> None:
        """A simulation comes here."""
        self.losses += 1
        self.refresh()

    def leave(self, value: float | None) -> None:
        """The simulation came back with a value, or with nothing."""
        self.losses -= 1
        if value is not None:
            self.visits += 1
            self.total += value
        self.refresh()

    def refresh(self) -> None:
        """Look anew whether it is open."""
        self.open = any(child.open for child in self.children) if self.children else not (self.spent or self.losses)


def grown(parent: Branch, nodes: Iterable[Node], known: Iterable[Branch] = ()) -> list[Branch]:
    """A branch for each different step that is not known yet."""
    old = {branch.node.chain.token_ids for branch in known}
    distinct: dict[tuple[int, ...], Node] = {}
    for node in nodes:
        distinct.setdefault(node.chain.token_ids, node)
    branches = [Branch(node, parent) for ids, node in distinct.items() if ids not in old]
    weigh(parent, [*known, *branches])
    return branches


def weigh(parent: Branch, branches: Sequence[Branch]) -> None:
    """P = exp(mean log-probability) of the steps after one chain, normalised."""
    start = len(parent.node.chain.logprobs)
    weights = [exp(mean_logprob(branch.node.chain.logprobs[start:])) for branch in branches]
    for branch, weight in zip(branches, weights, strict=True):
        branch.prior = weight / sum(weights)


def visited(branch: Branch) -> Iterator[Visited]:
    """What is thought of a step and of all before it, first steps first."""
    for step in reversed(list(branch.lineage())):
        if step.parent is not None:
            yield Visited(step.node.index, step.visits, step.total / step.visits)


def puct(branch: Branch, exploration: float) -> float:
    """V + P sqrt(N_p) / (1 + N_c) (ln((N_p + base + 1) / base) + exploration), of a branch with a parent."""
    assert branch.parent is not None, "nobody chooses the root"
    trials = branch.parent.trials
    scale = log((trials + PUCT_BASE + 1) / PUCT_BASE) + exploration
    return branch.value + branch.prior * sqrt(trials) / (1 + branch.trials) * scale


def uct(branch: Branch, exploration: float) -> float:
    """Q + exploration sqrt(ln N_p / N_c), of a branch with a parent; infinite before the first visit."""
    assert branch.parent is not None, "nobody chooses the root"
    if not branch.trials:
        return inf
    return branch.value + exploration * sqrt(log(branch.parent.trials) / branch.trials)
