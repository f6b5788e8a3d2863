"""Beam search over steps, guided by a verifier (Snell et al. 2024, arXiv:2408.03314; Beeching et al. 2024).

No barrier: a chain that is sure to stay among the best is extended while its siblings still run and, with `speculate`,
so is one that leads so far. Which chains survive depends on the scores alone, so speculation costs tokens where it was
wrong and changes no answer.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deliberate.search.events import Cancelled, Event, Failed, Scored
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import StepStrategy, score_of
from deliberate.search.strategy import Context
from deliberate.search.tree import Node, Tree
from deliberate.verifiers.protocol import VerifierConfig

MAX_LOOKAHEAD = 16
"""Most steps that a request may look ahead."""


class BeamSearch(StepStrategy, frozen=True):
    """Draw steps from each of the best chains, judge them, keep the best again, until they end."""

    kind: Literal["beam_search"] = "beam_search"
    alias: ClassVar[str] = "beam"
    dimensions: ClassVar[int] = 2
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Chains that are kept after each step."""
    expansions: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Steps drawn from each of them, and `width` times as many first ones. Equal steps count once: where the model is
    sure, few chains are left and few steps are drawn."""
    lookahead: Annotated[int, Field(ge=0, le=MAX_LOOKAHEAD)] = 0
    """Steps that a chain is rolled on at temperature 0, to be judged with their text (Snell 2024, lookahead search)."""
    speculate: bool = True
    """Extend chains that lead before their siblings have ended: sooner done, for more tokens."""

    @property
    def slots(self) -> int:
        return self.width * self.expansions

    @property
    def size(self) -> tuple[int, ...]:
        return (self.width, self.expansions)

    @classmethod
    def of_size(cls, size: tuple[int, ...], verifier: VerifierConfig | None) -> "BeamSearch":
        """`beam-4x4` keeps 4 chains and draws 4 steps from each; `beam-4` draws the default number."""
        options = dict(zip(("width", "expansions"), size, strict=False))
        return cls.model_validate(options | ({} if verifier is None else {"verifier": verifier}))

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        tree = self.plant(context, lookahead=self.lookahead)
        beam = _Beam(self, tree)
        failures: list[Failed] = []
        async with aclosing(tree.events()) as events:
            async for event in events:
                yield event
                failures += [event] if isinstance(event, Failed) else []
                beam.hear(event)
                if isinstance(event, Scored) and tree.judged_candidates >= self.slots:
                    break
        async for event in self.choose(tree, failures):
            yield event


@dataclass(slots=True, eq=False)
class _Level:
    """The chains of one length."""

    final: bool = False
    """It is known which chains they grow from."""
    settled: bool = False
    """It is known which of them go on."""
    growing: dict[int, Node] = field(default_factory=dict[int, Node])
    """Steps that were not judged yet, with the chain that they follow."""
    judged: list[Node] = field(default_factory=list[Node])


class _Beam:
    """Which chains are extended when."""

    def __init__(self, options: BeamSearch, tree: Tree) -> None:
        self._options = options
        self._tree = tree
        self._levels = [_Level(final=True)]
        self._level_of: dict[int, int] = {}
        self._extend(tree.root, options.slots, 0)

    def hear(self, event: Event) -> None:
        """Take what happened and extend what can be."""
        match event:
            case Scored(index) if not self._tree.nodes[index].dropped:
                self._levels[self._level_of[index]].judged.append(self._tree.nodes[index])
            case Failed(index) | Cancelled(index):
                pass
            case _:
                return
        depth = self._level_of[event.index]
        self._levels[depth].growing.pop(event.index, None)
        self._advance(depth)

    def _advance(self, depth: int) -> None:
        level = self._levels[depth]
        if level.settled or not level.final:
            return
        best = _best(level.judged)
        if not level.growing:
            self._settle(depth, best[: self._options.width])
            return
        sure = self._options.width - len(level.growing)
        leading = len(level.judged) // self._options.expansions if self._options.speculate else 0
        for node in best[: max(0, sure, min(leading, self._options.width))]:
            if not node.children:
                self._extend(node, self._options.expansions, depth + 1)

    def _settle(self, depth: int, survivors: list[Node]) -> None:
        """All are judged: the best go on and the others stop."""
        self._levels[depth].settled = True
        for node in self._levels[depth].judged:
            if node not in survivors and not node.ended:
                self._tree.prune(node, f"not among the best {self._options.width} at depth {node.depth}")
        if not survivors:
            return
        for node in survivors:
            self._extend(node, self._options.expansions - node.children, depth + 1)
        level = self._levels[depth + 1]
        level.final = True
        level.growing = {index: parent for index, parent in level.growing.items() if parent in survivors}
        level.judged = [node for node in level.judged if node.parent in survivors]
        self._advance(depth + 1)

    def _extend(self, node: Node, steps: int, depth: int) -> None:
        if depth == len(self._levels):
            self._levels.append(_Level())
        if steps <= 0:
            return
        for index in self._tree.expand(node, steps):
            self._level_of[index] = depth
            self._levels[depth].growing[index] = node


def _best(judged: Iterable[Node]) -> list[Node]:
    """Chains that can go on, best first, each distinct text once. The order does not depend on what came first."""
    live = [node for node in judged if not node.ended]
    distinct: dict[tuple[int, ...], Node] = {}
    for node in sorted(live, key=lambda node: (-node.children, node.index)):
        distinct.setdefault(node.chain.token_ids, node)
    return sorted(distinct.values(), key=lambda node: (*score_of(node), -node.seed), reverse=True)
