"""Answers that grow step by step, all of them at once: the machinery that every step-level strategy shares.

A strategy says which steps to follow (`expand`) and which not (`prune`), and reads what happens (`events`). Everything
else is done here and without barriers: each call of the engine runs by itself, a step is scored as soon as it ends
together with those that end at the same time, and what is pruned stops in the middle of a step.

What is drawn after a chain depends on the request's seed, the chain's tokens and how often it was extended, not on what
ran when.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from deliberate.engines.protocol import Finish, Prompt, Sample, SampleBuilder, Sampling
from deliberate.search.activity import Activity
from deliberate.search.budget import was_cut
from deliberate.search.events import PROMPT, Cancelled, Completed, Event, Expanded, Failed, Pruned, Scored
from deliberate.search.judging import Judging
from deliberate.search.nodes import Draft, Node
from deliberate.search.steps import StepRules, Steps
from deliberate.search.strategy import Context


@dataclass(slots=True)
class Tree:
    """The chains of one search. `nodes`, `completed` and `failures` change as `events` are read."""

    context: Context
    rules: StepRules
    nodes: dict[int, Node] = field(default_factory=dict[int, Node])
    """By index, PROMPT for the root."""
    completed: list[Node] = field(default_factory=list[Node])
    """Those that are whole candidates."""
    failures: list[Failed] = field(default_factory=list[Failed])
    """Steps that came to nothing."""
    _activity: Activity = field(default_factory=Activity)
    _steps: Steps = field(init=False)
    _judging: Judging = field(init=False)
    _started: int = 0
    _drawn: dict[int, int] = field(default_factory=dict[int, int])
    """How often each chain was extended, by its seed."""

    def __post_init__(self) -> None:
        root = Sample("", (), (), Finish("stop"))
        self.nodes[PROMPT] = Node(PROMPT, None, root, 0, "live", self.rules.sampling.seed)
        self._steps = Steps(self.context, self.rules)
        self._judging = Judging(self._steps, self._activity)

    @property
    def root(self) -> Node:
        return self.nodes[PROMPT]

    @property
    def candidates(self) -> list[Node]:
        """The completed chains to choose from; those that grew ahead of a decision to drop them only without others."""
        return [node for node in self.completed if not node.dropped] or self.completed

    def expand(self, node: Node, count: int, *, whole: bool = False) -> range:
        """Start `count` further steps after a live chain; their indices, none once the budget is spent.

        With `whole` each is all of the rest of an answer.
        """
        drawn = self._drawn.get(node.seed, 0)
        self._drawn[node.seed] = drawn + count
        prompt = self.context.prompt.token_ids
        return self.draw(node, Draft("", prompt, node.chain, node.seed + drawn, whole=whole), count)

    def draw(self, node: Node, draft: Draft, count: int = 1) -> range:
        """Start steps in a way of their own; their indices, none once the budget is spent."""
        assert node.state == "live", "a chain that ended cannot grow"
        if self.context.budget.ended is not None:
            return range(0)
        indices = range(self._started, self._started + count)
        self._started += count
        node.children += count
        running = {i: SampleBuilder() for i in range(count)}

        def cancelled(_: "asyncio.Task[None]") -> None:
            for i, builder in running.items():
                self._activity.tell(Cancelled(indices[i], builder.tokens, node.index))

        self._activity.start(self._grow(node, draft, indices, running), node, cancelled)
        return indices

    def beside(self, node: Node, events: AsyncGenerator[Event, None]) -> None:
        """Tell what else is done about a chain among the tree's own events, as it comes."""

        async def tell() -> None:
            async with aclosing(events) as told:
                async for event in told:
                    self._activity.tell(event)

        self._activity.start(tell(), node)

    def prune(self, node: Node, reason: str) -> None:
        """Follow a chain no further, and stop what grows from it."""
        if node.pruned:
            return
        node.pruned = True
        self._activity.tell(Pruned(node.index, reason))
        self._activity.cancel_after(node)

    def complete(self, node: Node) -> None:
        """Count a chain as a whole candidate."""
        if self.context.budget.admit_candidate():
            self._activity.tell(Completed(node.index, node.chain), node)

    async def events(self) -> AsyncGenerator[Event, None]:
        """All that happens, until nothing runs any more. Closing this stops everything."""
        try:
            while not self._activity.over:
                told = await self._activity.next()
                if told is not None:
                    yield self._read(*told)
        finally:
            await self._activity.cancel_all()

    async def stop(self) -> AsyncGenerator[Event, None]:
        """End the search now: what was on its way to be told, and a Cancelled for everything that still ran."""
        await self._activity.cancel_all()
        for told in self._activity.rest():
            yield self._read(*told)

    def _read(self, event: Event, node: Node | None) -> Event:
        match event:
            case Expanded(index) if node is not None:
                self.nodes[index] = node
            case Completed() if node is not None:
                self.completed.append(node)
            case Scored(index, verdict):
                self.nodes[index].verdict = verdict
            case Failed():
                self.failures.append(event)
            case _:
                pass
        return event

    async def _grow(self, node: Node, draft: Draft, indices: Sequence[int], running: dict[int, SampleBuilder]) -> None:
        """One call of the engine: the steps share the pass over their prefix. Leaves in `running` what did not end."""
        sampling = self._steps.sampling(draft, node.depth)
        prompt = Prompt(draft.prompt_ids + draft.chain.token_ids)
        async with aclosing(self.context.engine.generate(prompt, sampling, len(indices))) as deltas:
            async for delta in deltas:
                step = running[delta.index].add(delta)
                if step is not None:
                    del running[delta.index]
                    self._step_ended(node, draft, indices[delta.index], step, sampling)

    def _step_ended(self, parent: Node, draft: Draft, index: int, step: Sample, sampling: Sampling) -> None:
        if step.finish.reason == "error":
            self._activity.tell(Failed(index, step.tokens, step.finish.detail, parent.index))
            return
        node = self._steps.node(index, parent, draft, step, sampling)
        self._activity.tell(Expanded(index, parent.index, step, draft.action), node)
        if draft.aside or was_cut(step.finish):
            return
        if node.ended:
            self.complete(node)
        if self.context.verifier is not None and (node.ended or self.rules.judges_beginnings):
            self._judging.ask(node)
