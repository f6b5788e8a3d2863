"""Tree of thoughts (Yao et al. 2023, arXiv:2305.10601): search among the ways a chain can go on, by their values.

A thought is a step, by default a paragraph. Breadth first, the best b of all chains of one length go on by k thoughts
each: that is beam search, which runs it, with its steps that start before their siblings ended (it draws b k first
thoughts where the paper draws k). Depth first, the best of k thoughts is followed first, and where all that follows is
worth less than a threshold the search goes back to the latest one that is not. The paper drops what is below the
threshold; here it is gone back to last, the best first, so that an answer comes to its end under any verifier.

Depth first, a thought waits for the k it was drawn with: their order decides.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.search.events import Event
from deliberate.search.nodes import Node
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import StepStrategy, score_of
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.search.strategy import Context


class TreeOfThoughts(StepStrategy, frozen=True):
    """Draw several thoughts, judge them, and follow the good ones: side by side, or one by one with a way back."""

    kind: Literal["tree_of_thoughts"] = "tree_of_thoughts"
    alias: ClassVar[str] = "tot"
    size_fields: ClassVar[tuple[str, ...]] = ("width", "thoughts")
    """`tot-4x4` keeps 4 chains and draws 4 thoughts after each; `tot-4` draws the default number."""
    search: Literal["bfs", "dfs"] = "bfs"
    """`bfs` keeps the best chains of each length; `dfs` follows one until an answer passes, and goes back where it
    gets worse than `threshold`."""
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Chains that `bfs` keeps, the paper's b."""
    thoughts: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Drawn after each chain, the paper's k."""
    threshold: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.5
    """`dfs` goes back from thoughts that score less. An answer passes where the verifier accepts it or, where it only
    grades, with this score."""
    max_states: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 100
    """Chains that `dfs` draws thoughts after, at most."""
    pick: Literal["score", "weighted_vote", "majority"] = "score"
    """The answer: of the chains that ended the one with the best score, the answer with the largest sum of scores, or
    the most frequent one."""

    @property
    def slots(self) -> int:
        return self.width * self.thoughts if self.search == "bfs" else self.thoughts

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        found = self._breadth_first().run(context) if self.search == "bfs" else self._depth_first(context)
        async with aclosing(found) as events:
            async for event in events:
                yield event

    def _breadth_first(self) -> BeamSearch:
        return BeamSearch(
            width=self.width,
            expansions=self.thoughts,
            verifier=self.verifier,
            pick=self.pick,
            step_separator=self.step_separator,
            max_steps=self.max_steps,
            max_step_tokens=self.max_step_tokens,
            min_temperature=self.min_temperature,
        )

    async def _depth_first(self, context: Context) -> AsyncGenerator[Event, None]:
        tree = self.plant(context)
        way = _Way(self.threshold)
        node: Node | None = tree.root
        states = 0
        while node is not None and context.budget.ended is None and states < self.max_states:
            drawn = tree.expand(node, self.thoughts)
            states += 1
            async with aclosing(tree.events()) as events:
                async for event in events:
                    yield event
            node = way.after([tree.nodes[index] for index in drawn if index in tree.nodes])
        async for event in self.choose(tree, f"{'an' if way.passed else 'no'} answer passed after {states} states"):
            yield event


class _Way:
    """Where a search that goes deep first goes next."""

    def __init__(self, threshold: float) -> None:
        self.passed = False
        """An answer did."""
        self._threshold = threshold
        self._ahead: list[Node] = []
        """Worth following, the next one last."""
        self._given_up: list[Node] = []

    def after(self, drawn: Sequence[Node]) -> Node | None:
        """The chain to follow once these were judged; None when an answer passed or nothing is left."""
        self.passed = any(map(self._passes, drawn))
        if self.passed:
            return None
        distinct = {node.chain.token_ids: node for node in reversed(drawn) if not node.ended}.values()
        for node in sorted(distinct, key=_worth):
            (self._ahead if score_of(node)[0] >= self._threshold else self._given_up).append(node)
        if self._ahead:
            return self._ahead.pop()
        self._given_up.sort(key=_worth)
        return self._given_up.pop() if self._given_up else None

    def _passes(self, node: Node) -> bool:
        verdict = node.verdict
        if verdict is None or verdict.score is None or node.state != "finished":
            return False
        return verdict.score >= self._threshold if verdict.passed is None else verdict.passed


def _worth(node: Node) -> tuple[float, float, int]:
    """Of equals the earlier is worth more."""
    return (*score_of(node), -node.index)
