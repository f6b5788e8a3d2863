"""What strategies share that divide the next steps among all chains of one length."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from deliberate.search.events import Event, Failed, Scored
from deliberate.search.following import FollowingStrategy
from deliberate.search.nodes import Node
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree


@dataclass(frozen=True, slots=True)
class Member:
    """A chain of the population, with all its copies."""

    copies: tuple[Node, ...]
    """Nodes of the same tokens; a chain that ended may hold several places by one node."""

    @property
    def node(self) -> Node:
        """The copy that goes on for all of them: the one that was extended, if any was."""
        return max(self.copies, key=lambda node: node.children)


class PopulationStrategy(FollowingStrategy, frozen=True):
    """Draw first steps, weigh the chains, divide the next steps among them by their weights, until all have ended.

    Shares depend on the weights of all chains of one length. So that chains need not wait for their siblings, those
    that are likely to go on are extended ahead; where that was wrong it costs tokens and changes no answer.
    """

    speculate: bool = True
    """Extend chains of at least mean weight by one step before their siblings have ended: sooner done, for more
    tokens."""

    @abstractmethod
    def weigh(self, population: Sequence[Member]) -> list[float]:
        """The chains' parts of the next steps, relative to each other; 0 for those that take no part."""

    @abstractmethod
    def share(self, population: Sequence[Member], width: int, draw: float) -> list[int]:
        """How many next steps each chain gets, or how many places one that ended keeps.

        `width` is how many places there were, those of steps that failed among them. `draw` is uniform in [0, 1).
        """

    def follow(self, context: Context) -> "_Generations":
        return _Generations(self, self.plant(context))


class _Generations:
    """Which chains are extended when."""

    def __init__(self, strategy: PopulationStrategy, tree: Tree) -> None:
        self.over = False
        """No chain goes on."""
        self._strategy = strategy
        self.tree = tree
        self._draws = Random(tree.root.seed)
        # Steps, in an order that does not depend on what came first. One that ended its chain may have several places.
        self._places = list(tree.expand(tree.root, strategy.slots))
        self._heard: set[int] = set()
        self._ahead: dict[Node, range] = {}

    def hear(self, event: Event) -> None:
        """Take what happened and extend what can be."""
        match event:
            case Scored(index) | Failed(index):
                self._heard.add(index)
            case _:
                return
        while not self.over and self._heard.issuperset(self._places):
            self._advance()
        if self._strategy.speculate and not self.over:
            self._extend_ahead()

    def _population(self) -> list[Member]:
        """The chains that were judged, each once."""
        copies: dict[tuple[int, ...], list[Node]] = {}
        for index in self._places:
            if index in self._heard and (node := self.tree.nodes.get(index)) is not None:
                copies.setdefault(node.chain.token_ids, []).append(node)
        return [Member(tuple(nodes)) for nodes in copies.values()]

    def _advance(self) -> None:
        """All chains of this length are judged."""
        population = self._population()
        shares = self._strategy.share(population, len(self._places), self._draws.random())
        self._places = []
        self.over = True
        for member, share in zip(population, shares, strict=True):
            if member.node.ended:
                self._places += [member.node.index] * share
                continue
            self._prune(member, share)
            if share:
                self.over = False
                self._places += self._extend(member.node, share)

    def _prune(self, member: Member, share: int) -> None:
        for node in member.copies:
            if not share:
                self.tree.prune(node, f"got none of the next steps at depth {node.depth}")
            elif node is not member.node:
                self.tree.prune(node, f"the same chain as that of step {member.node.index}")

    def _extend(self, node: Node, share: int) -> list[int]:
        ahead = self._ahead.pop(node, range(0))
        more = self.tree.expand(node, share - len(ahead)) if share > len(ahead) else range(0)
        return [*ahead, *more]

    def _extend_ahead(self) -> None:
        population = self._population()
        weights = self._strategy.weigh(population)
        mean = fmean(filter(None, weights)) if any(weights) else 1.0
        for member, weight in zip(population, weights, strict=True):
            node = member.node
            if weight >= mean and not node.ended and node not in self._ahead:
                self._ahead[node] = self.tree.expand(node, 1)
