"""Monte Carlo tree search over the steps of answers, with AlphaZero's selection (Silver et al. 2018).

A simulation goes down from the prompt to a chain that none extended before, each time along the step with the highest

    PUCT = V + P sqrt(N_p) / (1 + N_c) (ln((N_p + 19653) / 19652) + 1.25)    or    UCT = Q + w sqrt(ln N_p / N_c)

(V, Q mean value of the visits, P normalised exp(mean log-probability of the step), N visits of parent and child; Kocsis
and Szepesvári 2006). From there it goes on to a whole answer, as OpenR does (Wang et al. 2024, arXiv:2410.09671): an
answer's steps are few and nobody moves between two searches, so that simulations of one step each would end before any
answer does. The whole answer's score is the value of all chains it passed, and all of them hold it in their mean.

Every simulation finds something new. A finished chain is visited once, which costs no simulation, and what leads to
visited chains only is closed (MCTS-Solver, Winands et al. 2008; LATS, Zhou et al. 2023): without an open chain the
search ends. Equal steps after a chain are one step.

Where a chain is visited again, steps are drawn after it again (progressive widening, Coulom 2007), for the right one
may be missing. A new step is followed at once only if it scores better than those that were there; if none does, the
new ones stay in sight for later, and it was no simulation.

The answer is chosen among the whole answers alone, never by the visits of a first step: visits decided how many of them
a part of the tree has, values weigh them, and `pick` adds those up by answer.

No barrier: several simulations are on their way at once and wait for nothing of each other within. So that the tree
depends on the seed alone, they come back in the order in which they left: simulation i leaves when i - in_flight is
back, and sees of the others that they are under way (virtual loss) and, where it would find nothing else to do, the
first steps they drew.
"""

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from math import ceil
from statistics import fmean
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.search.events import Event, Expanded, Failed, Scored, Visited
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import StepStrategy
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree
from deliberate.search.visits import Branch, grown, puct, uct, visited
from deliberate.verifiers.protocol import Judges

_FORMULAS = {"puct": puct, "uct": uct}
_EXPLORATION = {"puct": 1.25, "uct": 1.4}


class Mcts(StepStrategy, frozen=True):
    """Follow the steps that led to good answers, or that few followed yet, again and again."""

    kind: Literal["mcts"] = "mcts"
    alias: ClassVar[str] = "mcts"
    size_fields: ClassVar[tuple[str, ...]] = ("simulations", "expansions")
    """`mcts-64` runs 64 simulations; `mcts-8x16` 8, with 16 steps after each chain."""
    simulations: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Answers that are followed to their end."""
    expansions: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Steps drawn after a chain, of which the best is followed and the others wait for later simulations."""
    in_flight: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Simulations at once: more are sooner done, and know less of each other."""
    widening: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.5
    """After a chain of N visits, steps are drawn N^widening times; 0 draws them once."""
    selection: Literal["puct", "uct"] = "puct"
    """Which step is followed: `puct` weighs by the policy's probabilities, `uct` follows each step once before any
    twice."""
    exploration: Annotated[FiniteFloat, Field(ge=0)] | None = None
    """Weight of steps that were seldom followed; None takes 1.25 for `puct` and 1.4 for `uct`."""
    value: Literal["verifier", "rollout"] = "verifier"
    """How a simulation goes on to its end. `verifier`: by steps, each the best of `expansions` by its score, and all
    stay in the tree. `rollout`: by one step and then a plain sample of the rest, so that the verifier judges whole
    answers only."""
    rollouts: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 1
    """Samples of the rest, of value `rollout`: their mean score is the value."""

    @property
    def needs(self) -> Judges | None:
        return Judges.PARTIAL if self.value == "verifier" else Judges.OUTCOME

    @property
    def slots(self) -> int:
        at_once = self.expansions if self.value == "verifier" else max(self.expansions, self.rollouts)
        return at_once * min(self.in_flight, self.simulations)

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        tree = self.plant(context, judges_beginnings=self.value == "verifier")
        search = _Search(self, tree)
        async with aclosing(tree.events()) as events:
            async for event in events:
                yield event
                for visit in search.hear(event):
                    yield visit
        async for event in self.choose(tree, search.reason):
            yield event

    def best(self, branches: list[Branch]) -> Branch:
        """The one to follow; of equals the one with more value, then the likelier, then the earlier."""
        formula, exploration = _FORMULAS[self.selection], self.exploration
        weight = _EXPLORATION[self.selection] if exploration is None else exploration
        return max(branches, key=lambda branch: (formula(branch, weight), branch.value, branch.prior))


@dataclass(slots=True, eq=False)
class _Simulation:
    """One way to a whole answer."""

    path: list[Branch]
    """The chain where it left the tree, and those that it followed from there."""
    drawn: list[tuple[Branch, list[Branch]]] = field(default_factory=lambda: list[tuple[Branch, list[Branch]]]())
    """The chains that it extended, with the new steps after each of them."""
    known: tuple[Branch, ...] = ()
    """The steps after its first chain that were there when it left."""
    bar: float = -1.0
    """The best score of those: a new step is followed where it is better."""
    rolls_out: bool = False
    """It draws whole answers now."""
    waits: list[int] = field(default_factory=list[int])
    """What it draws, by index."""
    missing: set[int] = field(default_factory=set[int])
    """What of that is not there yet."""
    shown: bool = False
    """Others see the first steps it drew."""
    ended: bool = False
    value: float | None = None
    """Set once it ended, unless it came to nothing."""

    def show(self, steps: int | None = None) -> None:
        """Put what it drew into the tree: after so many steps of its path, or after all."""
        self.shown = True
        for branch, children in self.drawn[:steps]:
            branch.adopt(children)
        for branch in self.path[-1].lineage():
            branch.refresh()


class _Search:
    """Which simulations are under way."""

    def __init__(self, options: Mcts, tree: Tree) -> None:
        self._options = options
        self._tree = tree
        self._root = Branch(tree.root)
        self._flying: deque[_Simulation] = deque()
        """In the order in which they left."""
        self._simulation_of: dict[int, _Simulation] = {}
        self._left = self._back = 0
        self._depart(self._root)

    @property
    def reason(self) -> str:
        """Why it ended, in a phrase."""
        closed = "" if self._root.open or self._flying else ", every chain was followed"
        return f"{self._back} of {self._options.simulations} simulations ended{closed}"

    def hear(self, event: Event) -> Iterator[Visited]:
        """Take what happened, and send the simulations on that it concerns."""
        match event:
            case Expanded(index) if not self._is_judged(index):
                pass
            case Scored(index) | Failed(index):
                pass
            case _:
                return
        simulation = self._simulation_of.pop(index, None)
        if simulation is None or self._tree.context.budget.ended is not None:
            return
        simulation.missing.discard(index)
        if not simulation.missing:
            self._go_on(simulation)
            yield from self._next()

    def _is_judged(self, index: int) -> bool:
        return self._tree.rules.judges_beginnings or self._tree.nodes[index].ended

    def _next(self) -> Iterator[Visited]:
        """Let simulations come back and others leave, in an order that does not depend on what ran when."""
        while True:
            if self._left < self._options.simulations and len(self._flying) < self._options.in_flight:
                branch = self._select()
                if branch is not None:
                    yield from self._set_out(branch)
                    continue
                hidden = next((simulation for simulation in self._flying if not simulation.shown), None)
                if hidden is not None:
                    if not hidden.drawn:
                        return
                    hidden.show(1)
                    continue
            if not self._flying or not self._flying[0].ended:
                return
            yield from self._come_back(self._flying.popleft())

    def _select(self) -> Branch | None:
        """Down the tree to a chain that nobody extended yet."""
        branch = self._root
        while branch.children and not self._widens(branch):
            open_ones = [child for child in branch.children if child.open]
            if not open_ones:
                return None
            branch = self._options.best(open_ones)
        return branch if branch.open or branch.children else None

    def _widens(self, branch: Branch) -> bool:
        """Whether it was visited often enough for more steps to be drawn after it."""
        return branch.draws < ceil((branch.trials + 1) ** self._options.widening)

    def _set_out(self, branch: Branch) -> Iterator[Visited]:
        if branch.node.ended:
            yield from _count(branch)
        else:
            self._depart(branch)

    def _depart(self, branch: Branch) -> None:
        self._left += 1
        for above in branch.lineage():
            above.enter()
        scores = [child.node.value for child in branch.children if child.node.value is not None]
        simulation = _Simulation([branch], known=tuple(branch.children), bar=max(scores, default=-1.0))
        self._flying.append(simulation)
        self._draw(simulation)

    def _draw(self, simulation: _Simulation) -> None:
        count = self._options.rollouts if simulation.rolls_out else self._options.expansions
        simulation.path[-1].draws += 1
        simulation.waits = list(self._tree.expand(simulation.path[-1].node, count, whole=simulation.rolls_out))
        simulation.missing = set(simulation.waits)
        self._simulation_of |= dict.fromkeys(simulation.waits, simulation)

    def _go_on(self, simulation: _Simulation) -> None:
        """All that it drew is there."""
        nodes = [self._tree.nodes[index] for index in simulation.waits if index in self._tree.nodes]
        if simulation.rolls_out:
            scores = [node.value for node in nodes if node.value is not None]
            simulation.ended, simulation.value = True, fmean(scores) if scores else None
            return
        first = not simulation.drawn
        children = grown(simulation.path[-1], nodes, simulation.known if first else ())
        simulation.drawn.append((simulation.path[-1], children))
        for node in nodes:
            if not node.ended and all(node is not child.node for child in children):
                self._tree.prune(node, "equal to another step")
        best = max(children, key=lambda branch: (branch.value, branch.prior), default=None)
        if best is None or (first and best.value <= simulation.bar):
            simulation.ended = True
            return
        best.enter()
        simulation.path.append(best)
        if best.node.ended:
            simulation.ended, simulation.value, best.spent = True, best.node.value, True
            return
        simulation.rolls_out = self._options.value == "rollout"
        self._draw(simulation)

    def _come_back(self, simulation: _Simulation) -> Iterator[Visited]:
        self._back += 1
        if simulation.known and simulation.value is None:
            # It drew more steps and followed none: that is no simulation.
            self._back, self._left = self._back - 1, self._left - 1
        simulation.show()
        for branch in simulation.path[-1].lineage():
            branch.leave(simulation.value)
        if simulation.value is not None:
            yield from visited(simulation.path[-1])


def _count(branch: Branch) -> Iterator[Visited]:
    """Visit a finished chain."""
    branch.spent = True
    for above in branch.lineage():
        above.enter()
        above.leave(branch.node.value)
    if branch.node.value is not None:
        yield from visited(branch)
