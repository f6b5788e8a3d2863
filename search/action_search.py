"""Which actions are taken when: simulations that go down a tree of actions, side by side."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from deliberate.engines.protocol import Sample
from deliberate.search.actions import Action, Wording
from deliberate.search.budget import was_cut
from deliberate.search.consistency import Discriminator
from deliberate.search.events import Completed, Event, Expanded, Failed, Retraced, Scored, Visited
from deliberate.search.nodes import Node
from deliberate.search.ranking import ballot
from deliberate.search.tree import Tree
from deliberate.search.turns import Turn
from deliberate.search.visits import visited
from deliberate.verifiers.answers import after_reasoning


@dataclass(frozen=True, slots=True)
class ActionRules:
    """How much is tried."""

    simulations: int
    in_flight: int
    """Simulations at once."""
    exploration: float
    """Weight of actions that were seldom followed."""
    checks: int
    """Beginnings of a candidate that the discriminator finishes."""
    times: Callable[[Action], int]
    """How often an action may be taken after one chain."""
    word: Callable[[str], Awaitable[Wording]]
    """A question as the actions ask it."""


@dataclass(slots=True, eq=False)
class _Simulation:
    """One way to a whole answer."""

    chance: Random
    path: list[Turn]
    """What it drew."""
    ended: bool = False
    answer: str | None = None
    reward: float | None = None
    """Of its answer; None where it came to none that could be judged."""

    @property
    def end(self) -> Turn:
        return self.path[-1]


class ActionSearch:
    """Which simulations are under way, and what came of the others."""

    def __init__(self, tree: Tree, rules: ActionRules, discriminator: Discriminator, wording: Wording) -> None:
        self._tree = tree
        self._rules = rules
        self._discriminator = discriminator
        self._root = Turn(tree.root)
        self._root.offer(tree, wording, rules.times)
        self._left = 0
        self._flying: deque[_Simulation] = deque()
        """In the order in which they left."""
        self._simulation_of: dict[int, _Simulation] = {}
        """By the step that it waits for."""
        self._back: list[_Simulation] = []
        self._agreed: dict[tuple[int, ...], list[bool]] = {}
        """By a candidate's tokens: whether the discriminator came to its answer, each time that it came to one."""
        while self._depart():
            pass

    @property
    def reason(self) -> str:
        """Why it ended, in a phrase."""
        shares = [fmean(agreed) for agreed in self._agreed.values() if agreed]
        early = "" if self._root.open or self._left == self._rules.simulations else ", no action is open"
        return (
            f"{len(self._back)} of {self._rules.simulations} simulations ended{early}; "
            f"{sum(share >= 0.5 for share in shares)} of {len(shares)} different candidates were found consistent"
        )

    def weights(self) -> dict[int, float]:
        """Reward x consistency of the candidates, by index; their rewards alone where none is consistent.

        A candidate that could not be checked counts as consistent; one that could not be judged is left out.
        """
        nodes = {node.index: node for node in self._tree.candidates}
        rewards = {i: reward for i, reward in self._rewards(nodes).items() if reward is not None}
        weights = {i: reward * self._consistency(nodes[i]) for i, reward in rewards.items()}
        return weights if any(weights.values()) else rewards

    def _consistency(self, candidate: Node) -> float:
        agreed = self._agreed.get(candidate.chain.token_ids)
        return fmean(agreed) if agreed else 1.0

    def _rewards(self, nodes: Mapping[int, Node]) -> dict[int, float | None]:
        if self._tree.context.verifier is not None:
            return {index: node.value for index, node in nodes.items()}
        answers = {index: _answer(node) for index, node in nodes.items()}
        return dict(zip(answers, _shares(list(answers.values())), strict=True))

    async def hear(self, event: Event) -> list[Visited]:
        """Take what happened, and send the simulations on that it concerns."""
        match event:
            case Completed(index):
                self._check(self._tree.nodes[index])
            case Retraced(index, _, agrees) if agrees is not None:
                self._agreed[self._tree.nodes[index].chain.token_ids].append(agrees)
            case Expanded(index) | Failed(index) | Scored(index) if index in self._simulation_of:
                await self._go_on(self._simulation_of.pop(index), event)
                return list(self._next())
            case _:
                pass
        return []

    def _check(self, candidate: Node) -> None:
        """Have the discriminator finish beginnings of it; equal candidates are one."""
        answer, tokens = _answer(candidate), candidate.chain.token_ids
        if answer is not None and tokens not in self._agreed and self._tree.context.budget.ended is None:
            self._agreed[tokens] = []
            for number in range(self._rules.checks):
                self._tree.beside(candidate, self._discriminator.retrace(candidate, answer, number))

    async def _go_on(self, simulation: _Simulation, event: Expanded | Failed | Scored) -> None:
        """What it waited for is there."""
        if isinstance(event, Failed):
            self._close(simulation)
            return
        node = simulation.end.node = self._tree.nodes[event.index]
        match event:
            case Expanded(step=step) if was_cut(step.finish):
                pass  # It stays on its way: the search is over.
            case Expanded(step=step) if not node.ended:
                await self._take_next(simulation, step)
            case Expanded() if self._tree.context.verifier is not None:
                self._simulation_of[event.index] = simulation
            case _:
                self._arrive(simulation, node)

    async def _take_next(self, simulation: _Simulation, step: Sample) -> None:
        turn = simulation.end
        wording = await self._reworded(step) if turn.is_aside else turn.wording
        if wording is not None:
            turn.offer(self._tree, wording, self._rules.times)
        if not turn.turns:
            self._close(simulation)
            return
        following = simulation.chance.choice(turn.turns)
        following.enter()
        simulation.path.append(following)
        self._draw(simulation)

    async def _reworded(self, step: Sample) -> Wording | None:
        """The question in the words of a step; None where it says nothing."""
        question = after_reasoning(step.text).strip()
        return await self._rules.word(question) if question and step.finish.reason == "stop" else None

    def _draw(self, simulation: _Simulation) -> None:
        turn = simulation.end
        assert turn.draft is not None and turn.parent is not None, "nobody draws the question"
        draft = replace(turn.draft, seed=simulation.chance.getrandbits(48))
        for index in self._tree.draw(turn.parent.node, draft):
            self._simulation_of[index] = simulation

    def _arrive(self, simulation: _Simulation, node: Node) -> None:
        simulation.answer = _answer(node)
        # Without a verifier its share of the answers is known once it is back.
        simulation.reward = 0.0 if self._tree.context.verifier is None else node.value
        self._close(simulation)

    def _close(self, simulation: _Simulation) -> None:
        simulation.ended = simulation.end.spent = True

    def _next(self) -> Iterator[Visited]:
        """Let simulations come back and others leave, in an order that does not depend on what ran when."""
        while True:
            if self._depart():
                continue
            if not self._flying or not self._flying[0].ended:
                return
            yield from self._come_back(self._flying.popleft())

    def _depart(self) -> bool:
        """Let one more simulation leave; False where none may, or all that is open is taken."""
        if self._left == self._rules.simulations or len(self._flying) == self._rules.in_flight:
            return False
        chance = Random(f"{self._tree.root.seed}:{self._left}")
        turn = self._root.next_after(chance, self._rules.exploration)
        if turn is None:
            return False
        for above in turn.lineage():
            above.enter()
        self._left += 1
        self._flying.append(_Simulation(chance, [turn]))
        self._draw(self._flying[-1])
        return True

    def _come_back(self, simulation: _Simulation) -> Iterator[Visited]:
        self._back.append(simulation)
        for turn in simulation.path:
            assert turn.parent is not None, "nobody draws the question"
            if turn.has_returned_twin:
                # Who would go on here goes on there.
                turn.children, turn.spent = [], True
            turn.returned = True
        for above in simulation.end.lineage():
            above.leave(simulation.reward)
        if self._tree.context.verifier is None:
            self._share_anew()
        if simulation.reward is not None:
            yield from visited(simulation.end)

    def _share_anew(self) -> None:
        """What an answer is worth changes with each further one."""
        arrived = [simulation for simulation in self._back if simulation.reward is not None]
        shares = _shares([simulation.answer for simulation in arrived])
        for simulation, share in zip(arrived, shares, strict=True):
            assert simulation.reward is not None, "it arrived"
            for above in simulation.end.lineage():
                above.total += share - simulation.reward
            simulation.reward = share


def _answer(node: Node) -> str | None:
    """What a candidate votes for; one that was cut by length did not end."""
    return ballot(Completed(node.index, node.chain)).answer if node.state == "finished" else None


def _shares(answers: Sequence[str | None]) -> list[float]:
    """The share of all that agree with each; 0 for no answer."""
    votes = Counter(answer for answer in answers if answer is not None)
    return [0.0 if answer is None else votes[answer] / len(answers) for answer in answers]
