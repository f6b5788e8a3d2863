"""Beam search over steps, guided by a verifier (Snell et al. 2024, arXiv:2408.03314; Beeching et al. 2024).

No barrier: a chain that is sure to stay among the best is extended while its siblings still run and, with `speculate`,
so is one that leads of those whose step has ended, before the verifier has spoken of it. No more chains lead than would
have survived of so many (the promotion rule of asynchronous successive halving, Li et al. 2018, arXiv:1810.05934, which
is mended here once all are judged). Which chains survive depends on the scores alone, so speculation costs tokens where
it was wrong and changes no answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deliberate.search.events import Cancelled, Event, Expanded, Failed, Scored
from deliberate.search.following import FollowingStrategy
from deliberate.search.nodes import Node
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import score_of
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree

MAX_LOOKAHEAD = 16
"""Most steps that a request may look ahead."""


class BeamSearch(FollowingStrategy, frozen=True):
    """Draw steps from each of the best chains, judge them, keep the best again.

    It ends when no chain goes on, or as many have ended as steps are drawn at once.
    """

    kind: Literal["beam_search"] = "beam_search"
    alias: ClassVar[str] = "beam"
    size_fields: ClassVar[tuple[str, ...]] = ("width", "expansions")
    """`beam-4x4` keeps 4 chains and draws 4 steps from each; `beam-4` draws the default number."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Chains that are kept after each step."""
    expansions: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Steps drawn from each of them, and `width` times as many first ones. Equal steps count once: where the model is
    sure, few chains are left and few steps are drawn."""
    lookahead: Annotated[int, Field(ge=0, le=MAX_LOOKAHEAD)] = 0
    """Steps that a chain is rolled on at temperature 0, to be judged with their text (Snell 2024, lookahead search)."""
    speculate: bool = True
    """Extend chains that lead before their siblings have ended and they are judged: sooner done, for more tokens."""

    @property
    def slots(self) -> int:
        return self.width * self.expansions

    def follow(self, context: Context) -> "_Beam":
        return _Beam(self, self.plant(context, lookahead=self.lookahead))


@dataclass(slots=True, eq=False)
class _Level:
    """The chains of one length."""

    final: bool = False
    """It is known which chains they grow from."""
    settled: bool = False
    """It is known which of them go on."""
    open: dict[int, Node] = field(default_factory=dict[int, Node])
    """Steps that run or were not judged yet, with the chain that they follow."""
    drawn: list[Node] = field(default_factory=list[Node])
    """Chains whose step has ended."""

    @property
    def judged(self) -> list[Node]:
        return [node for node in self.drawn if node.index not in self.open]

    def keep(self, parents: Sequence[Node]) -> None:
        """Its chains are those that grow from these."""
        self.final = True
        self.open = {index: parent for index, parent in self.open.items() if parent in parents}
        self.drawn = [node for node in self.drawn if node.parent in parents]


class _Beam:
    """Which chains are extended when."""

    def __init__(self, options: BeamSearch, tree: Tree) -> None:
        self._options = options
        self.tree = tree
        self.over = False
        """Enough chains have ended."""
        self._levels = [_Level(final=True)]
        self._level_of: dict[int, int] = {}
        self._ended = 0
        self._extend(tree.root, options.slots, 0)

    def hear(self, event: Event) -> None:
        """Take what happened and extend what can be."""
        match event:
            case Expanded(index):
                level = self._levels[self._level_of[index]]
                level.drawn += [self.tree.nodes[index]] if index in level.open else []
            case Scored(index) | Failed(index) | Cancelled(index):
                level = self._levels[self._level_of[index]]
                level.open.pop(index, None)
            case _:
                return
        self._advance(self._level_of[index])

    def _advance(self, depth: int) -> None:
        level = self._levels[depth]
        if level.settled or not level.final:
            return
        best = _best(level.judged)
        if not level.open:
            self._settle(depth, best[: self._options.width])
            return
        promising = best[: max(0, self._options.width - len(level.open))]
        if self._options.speculate:
            leading = min(self._options.width, len(level.drawn) // self._options.expansions)
            promising += _best(level.drawn)[:leading]
        for node in promising:
            if not node.children:
                self._extend(node, self._options.expansions, depth + 1)

    def _settle(self, depth: int, survivors: list[Node]) -> None:
        """All are judged: the best go on and the others stop."""
        self._levels[depth].settled = True
        self._ended += sum(node.ended for node in self._levels[depth].judged)
        if self._ended >= self._options.slots:
            self.over, survivors = True, []
        for node in self._levels[depth].judged:
            if node not in survivors and not node.ended:
                self.tree.prune(node, f"not among the best {self._options.width} at depth {node.depth}")
        if not survivors:
            return
        for node in survivors:
            self._extend(node, self._options.expansions - node.children, depth + 1)
        self._levels[depth + 1].keep(survivors)
        self._advance(depth + 1)

    def _extend(self, node: Node, steps: int, depth: int) -> None:
        if depth == len(self._levels):
            self._levels.append(_Level())
        if steps <= 0:
            return
        for index in self.tree.expand(node, steps):
            self._level_of[index] = depth
            self._levels[depth].open[index] = node


def _best(judged: Iterable[Node]) -> list[Node]:
    """Chains that can go on, best first, each distinct text once. The order does not depend on what came first."""
    live = [node for node in judged if not node.ended]
    distinct: dict[tuple[int, ...], Node] = {}
    for node in sorted(live, key=lambda node: (-node.children, node.index)):
        distinct.setdefault(node.chain.token_ids, node)
    return sorted(distinct.values(), key=lambda node: (*score_of(node), -node.seed), reverse=True)
