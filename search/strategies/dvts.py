"""Diverse verifier tree search (Beeching et al. 2024, "Scaling test-time compute with open models").

The chains are split into subtrees that each follow their own best step, so that none crowds out another: at large
width a beam's chains become copies of each other, these do not. No barrier: subtrees never wait for each other.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from deliberate.search.events import Event, Failed, Scored
from deliberate.search.following import FollowingStrategy
from deliberate.search.nodes import Node
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import score_of
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree


class DiverseVerifierTreeSearch(FollowingStrategy, frozen=True):
    """In each of several subtrees, draw steps and go on with the best, until that one ends its chain."""

    kind: Literal["dvts"] = "dvts"
    alias: ClassVar[str] = "dvts"
    size_fields: ClassVar[tuple[str, ...]] = ("width", "expansions")
    """`dvts-16x4` has 4 subtrees that each draw 4 steps; `dvts-16` draws the default number."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Steps drawn at each depth in all subtrees together; a multiple of `expansions`."""
    expansions: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Steps drawn at each depth of one subtree, of which the best goes on."""

    @model_validator(mode="after")
    def _divides_into_subtrees(self) -> Self:
        if self.width % self.expansions:
            fitting = self.width - self.width % self.expansions or self.expansions
            raise ValueError(
                f"width = {self.width} does not divide into subtrees of expansions = {self.expansions}; "
                f"take a multiple, such as width = {fitting}"
            )
        return self

    @property
    def slots(self) -> int:
        return self.width

    def follow(self, context: Context) -> "_Subtrees":
        return _Subtrees(self, self.plant(context))


class _Subtrees:
    """Which step each subtree follows."""

    def __init__(self, options: DiverseVerifierTreeSearch, tree: Tree) -> None:
        self.tree = tree
        self.over = False
        """The search ends by itself, when no subtree grows any more."""
        self._expansions = options.expansions
        self._siblings: dict[int, range] = {}
        self._awaited: set[int] = set()
        first = tree.expand(tree.root, options.width)
        for start in range(0, len(first), options.expansions):
            self._await(first[start : start + options.expansions])

    def hear(self, event: Event) -> None:
        """Take what happened; a subtree whose steps are all judged goes on."""
        match event:
            case Scored(index) | Failed(index):
                self._awaited.discard(index)
            case _:
                return
        siblings = self._siblings[index]
        if self._awaited.isdisjoint(siblings):
            self._follow_best([self.tree.nodes[i] for i in siblings if i in self.tree.nodes])

    def _await(self, siblings: range) -> None:
        self._siblings |= dict.fromkeys(siblings, siblings)
        self._awaited.update(siblings)

    def _follow_best(self, judged: Sequence[Node]) -> None:
        """A subtree is over when its best step ended the chain; being cut by length is no end."""
        uncut = (node for node in judged if node.state != "truncated")
        best = max(uncut, key=lambda node: (*score_of(node), -node.index), default=None)
        for node in judged:
            if node is not best and not node.ended:
                self.tree.prune(node, f"not the best of its subtree at depth {node.depth}")
        if best is not None and not best.ended:
            self._await(self.tree.expand(best, self._expansions))
