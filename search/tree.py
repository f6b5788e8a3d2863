"""Answers that grow step by step, all of them at once: the machinery that every step-level strategy shares.

A strategy says which steps to follow (`expand`) and which not (`prune`), and reads what happens (`events`). Everything
else is done here and without barriers: each call of the engine runs by itself, a step is scored as soon as it ends
together with those that end at the same time, and what is pruned stops in the middle of a step.

What is drawn after a chain depends on the request's seed, the chain's tokens and how often it was extended, not on what
ran when.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deliberate.engines.protocol import Finish, Prompt, Sample, SampleBuilder, Sampling
from deliberate.search.budget import was_cut
from deliberate.search.events import (
    PROMPT,
    Cancelled,
    Completed,
    Event,
    Expanded,
    Failed,
    LookedAhead,
    Pruned,
    Scored,
)
from deliberate.search.sampling import STREAM_INTERVAL, draw
from deliberate.search.strategy import Context
from deliberate.verifiers.protocol import Candidate, Verdict


@dataclass(frozen=True, slots=True)
class StepRules:
    """What a step is, and how it is drawn."""

    sampling: Sampling
    """Of the request; `max_tokens` is the whole chain's."""
    separator: str
    """Ends a step."""
    max_steps: int
    """The last step of a chain this long is all of its rest."""
    max_step_tokens: int | None = None
    """A step that grows this long ends there, and its chain goes on."""
    lookahead: int = 0
    """Steps that a chain is rolled on at temperature 0 before it is judged."""
    judges_beginnings: bool = True
    """Chains are judged after each step, and not only once they ended."""


@dataclass(frozen=True, slots=True)
class Draft:
    """How a step is drawn that is more than the next one of its chain."""

    action: str
    """What kind of step it is, in the strategy's words."""
    prompt_ids: tuple[int, ...]
    """What the model reads before the chain, in place of the search's prompt."""
    chain: Sample
    """What the step continues."""
    seed: int
    whole: bool = False
    """The step is all of the rest."""
    aside: bool = False
    """The step is no part of an answer: the chain stays as it was."""


@dataclass(slots=True, eq=False)
class Node:
    """A chain: the step at its end, and the node of the chain before that step."""

    index: int
    """Of its last step, or PROMPT."""
    parent: "Node | None"
    chain: Sample
    """All of it, as far as it goes."""
    depth: int
    """In steps."""
    state: Literal["live", "finished", "truncated"]
    seed: int
    """Made from the request's and the chain's tokens: equal chains draw from one sequence of seeds."""
    verdict: Verdict | None = None
    """On the chain, once it was scored."""
    steered: bool = False
    """Some of it was drawn after another prompt: its log-probabilities are not those after the problem."""
    pruned: bool = False
    children: int = 0
    """How many were started."""

    @property
    def ended(self) -> bool:
        """It is a whole candidate."""
        return self.state != "live"

    @property
    def value(self) -> float | None:
        """Its score; of a chain that could not be judged that of the longest judged beginning, None without one."""
        if self.verdict is not None and self.verdict.score is not None:
            return self.verdict.score
        return None if self.parent is None else self.parent.value

    @property
    def dropped(self) -> bool:
        """It, or a beginning of it, was pruned."""
        return self.pruned or (self.parent is not None and self.parent.dropped)

    def follows(self, other: "Node") -> bool:
        """Whether it is `other` or grew from it."""
        node: Node | None = self
        while node is not None and node is not other:
            node = node.parent
        return node is other


@dataclass(slots=True)
class _Ask:
    """Chains of the same tokens, which the verifier reads once."""

    candidate: Candidate
    nodes: list[Node]


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
    _queue: "asyncio.Queue[tuple[Event, Node | None] | asyncio.Task[None]]" = field(
        default_factory=lambda: asyncio.Queue[Any]()
    )
    _growing: "dict[asyncio.Task[None], Node | None]" = field(default_factory=lambda: dict[Any, Any]())
    """Everything that runs, by the chain it works on; None for work on several."""
    _asks: dict[tuple[int, ...], _Ask | Verdict] = field(default_factory=lambda: dict[tuple[int, ...], Any]())
    """By the chains' tokens: what the verifier was asked, or what it said."""
    _unjudged: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    _started: int = 0
    _drawn: dict[int, int] = field(default_factory=dict[int, int])
    """How often each chain was extended, by its seed."""

    def __post_init__(self) -> None:
        root = Sample("", (), (), Finish("stop"))
        self.nodes[PROMPT] = Node(PROMPT, None, root, 0, "live", self.rules.sampling.seed)

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
                self._say(Cancelled(indices[i], builder.tokens, node.index))

        self._start(self._grow(node, draft, indices, running), node, cancelled)
        return indices

    def beside(self, node: Node, events: AsyncGenerator[Event, None]) -> None:
        """Tell what else is done about a chain among the tree's own events, as it comes."""

        async def tell() -> None:
            async with aclosing(events) as told:
                async for event in told:
                    self._say(event)

        self._start(tell(), node)

    def prune(self, node: Node, reason: str) -> None:
        """Follow a chain no further, and stop what grows from it."""
        if node.pruned:
            return
        node.pruned = True
        self._say(Pruned(node.index, reason))
        for task, grown in self._growing.items():
            if grown is not None and grown.follows(node):
                task.cancel()

    def complete(self, node: Node) -> None:
        """Count a chain as a whole candidate."""
        if self.context.budget.admit_candidate():
            self._say(Completed(node.index, node.chain), node)

    async def events(self) -> AsyncGenerator[Event, None]:
        """All that happens, until nothing runs any more. Closing this stops everything."""
        try:
            while self._growing or not self._queue.empty():
                item = await self._queue.get()
                if isinstance(item, asyncio.Task):
                    self._ended(item)
                else:
                    yield self._read(*item)
        finally:
            await self._cancel_all()

    async def stop(self) -> AsyncGenerator[Event, None]:
        """End the search now: what was on its way to be told, and a Cancelled for everything that still ran."""
        await self._cancel_all()
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not isinstance(item, asyncio.Task):
                yield self._read(*item)

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

    def _say(self, event: Event, node: Node | None = None) -> None:
        self._queue.put_nowait((event, node))

    def _start(
        self,
        work: Coroutine[Any, Any, None],
        node: Node | None,
        last_words: "Callable[[asyncio.Task[None]], None]" = lambda task: None,
    ) -> None:
        task = asyncio.create_task(work)
        self._growing[task] = node
        task.add_done_callback(last_words)
        task.add_done_callback(self._queue.put_nowait)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Raises what the task raised."""
        self._growing.pop(task, None)
        if not task.cancelled():
            task.result()

    async def _cancel_all(self) -> None:
        tasks = list(self._growing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._growing.clear()

    def _sampling(self, chain: Sample, whole: bool) -> Sampling:
        given = self.rules.sampling
        left = None if given.max_tokens is None else given.max_tokens - len(chain.token_ids)
        most = left if whole else min(filter(None, (left, self.rules.max_step_tokens)), default=None)
        stop = given.stop if whole else (*given.stop, self.rules.separator)
        return given.model_copy(update={"max_tokens": most, "stop": stop, "stream_interval": STREAM_INTERVAL})

    async def _grow(self, node: Node, draft: Draft, indices: Sequence[int], running: dict[int, SampleBuilder]) -> None:
        """One call of the engine: the steps share the pass over their prefix. Leaves in `running` what did not end."""
        sampling = self._sampling(draft.chain, draft.whole or node.depth + 1 >= self.rules.max_steps)
        sampling = sampling.model_copy(update={"seed": draft.seed})
        prompt = Prompt(draft.prompt_ids + draft.chain.token_ids)
        async with aclosing(self.context.engine.generate(prompt, sampling, len(indices))) as deltas:
            async for delta in deltas:
                step = running[delta.index].add(delta)
                if step is not None:
                    del running[delta.index]
                    self._step_ended(node, draft, indices[delta.index], step, sampling)

    def _step_ended(self, parent: Node, draft: Draft, index: int, step: Sample, sampling: Sampling) -> None:
        if step.finish.reason == "error":
            self._say(Failed(index, step.tokens, step.finish.detail, parent.index))
            return
        chain = draft.chain if draft.aside else _joined(draft.chain, step, self._written(step))
        state = "live" if draft.aside else self._state(chain, step, sampling)
        node = Node(index, parent, chain, parent.depth + 1, state, _seed_after(parent.seed, step.token_ids))
        node.steered = parent.steered or draft.prompt_ids != self.context.prompt.token_ids
        self._say(Expanded(index, parent.index, step, draft.action), node)
        if draft.aside or was_cut(step.finish):
            return
        if node.ended:
            self.complete(node)
        if self.context.verifier is not None and (node.ended or self.rules.judges_beginnings):
            self._ask(node)

    def _state(self, chain: Sample, step: Sample, sampling: Sampling) -> Literal["live", "finished", "truncated"]:
        """Only the model's own end, or a stop of the request, finishes a chain; a limit cuts it short."""
        if step.finish.reason == "stop" and not self._separated(step):
            return "finished"
        cut_as_step = step.finish.reason == "stop" or step.tokens == self.rules.max_step_tokens
        if sampling.max_tokens is not None and self.rules.sampling.max_tokens is not None:
            cut_as_step = cut_as_step and len(chain.token_ids) < self.rules.sampling.max_tokens
        context = self.context.engine.capabilities.context_length
        room = context is None or len(self.context.prompt.token_ids) + len(chain.token_ids) < context
        return "live" if cut_as_step and room else "truncated"

    def _separated(self, step: Sample) -> bool:
        """It ended in the separator, and the request does not want answers to stop there."""
        matched = step.finish.matched
        return matched == self.rules.separator and matched not in self.rules.sampling.stop

    def _written(self, step: Sample) -> str:
        """The step's text with the separator that ended it, and what the separator's last token says after it."""
        if not self._separated(step) or not step.token_ids:
            return step.text
        last = self.context.engine.tokenizer.token_bytes(step.token_ids[-1]).decode(errors="ignore")
        mark, rest = self.rules.separator[-1], ""
        if mark in last:
            rest = last.rpartition(mark)[2]
        return step.text + self.rules.separator + rest

    def _ask(self, node: Node) -> None:
        """Have a chain judged; one that was or will be is not asked for again."""
        known = self._asks.get(node.chain.token_ids)
        if isinstance(known, Verdict):
            self._say(Scored(node.index, known))
        elif known is not None:
            known.nodes.append(node)
        elif self.rules.lookahead and not node.ended:
            self._asks[node.chain.token_ids] = _Ask(self._candidate(node), [node])
            self._start(self._look_ahead(node), node)
        else:
            self._asks[node.chain.token_ids] = _Ask(self._candidate(node), [node])
            self._await_judgement(node)

    def _candidate(self, node: Node) -> Candidate:
        earlier = None if self.rules.lookahead or node.parent is None else node.parent.verdict
        chain = node.chain
        logprobs = None if node.steered else chain.logprobs
        alternatives = () if node.steered else chain.top_logprobs
        return Candidate(chain.text, chain.token_ids, logprobs, node.state == "finished", earlier, alternatives)

    def _await_judgement(self, node: Node) -> None:
        self._unjudged.append(node.chain.token_ids)
        if len(self._unjudged) == 1:
            # Starts once all that the engine has just told was heard, so that these chains are judged together.
            self._start(self._judge(), None)

    async def _judge(self) -> None:
        assert self.context.verifier is not None, "only searches that verify ask for judgements"
        chains, self._unjudged = self._unjudged, []
        asks = [ask for chain in chains if isinstance(ask := self._asks[chain], _Ask)]
        verdicts = await self.context.verifier.verify(self.context.problem, [ask.candidate for ask in asks])
        for chain, ask, verdict in zip(chains, asks, verdicts, strict=True):
            self._asks[chain] = verdict
            for node in ask.nodes:
                self._say(Scored(node.index, verdict))

    async def _look_ahead(self, node: Node) -> None:
        """Roll the chain on at temperature 0, and have it judged with the text of the rollout."""
        chain, ended = node.chain, False
        for _ in range(self.rules.lookahead):
            if ended:
                break
            step = await self._greedy_step(replace(node, chain=chain))
            chain = _joined(chain, step, self._written(step))
            ended = not self._separated(step)
            self._say(LookedAhead(node.index, step))
        ask = self._asks[node.chain.token_ids]
        assert isinstance(ask, _Ask), "it is judged after the rollout"
        ask.candidate = Candidate(chain.text, chain.token_ids, chain.logprobs, ended and chain.finish.reason == "stop")
        self._await_judgement(node)

    async def _greedy_step(self, node: Node) -> Sample:
        sampling = self._sampling(node.chain, whole=False).model_copy(update={"temperature": 0.0})
        builder = SampleBuilder()
        prompt = Prompt(self.context.prompt.token_ids + node.chain.token_ids)
        try:
            return await draw(self.context.engine, prompt, sampling, builder)
        except asyncio.CancelledError:
            self._say(LookedAhead(node.index, builder.ended(Finish("length"))))
            raise


def _joined(chain: Sample, step: Sample, written: str) -> Sample:
    return Sample(
        chain.text + written,
        chain.token_ids + step.token_ids,
        chain.logprobs + step.logprobs,
        step.finish,
        chain.top_logprobs + step.top_logprobs,
        chain.unseen_tokens + step.unseen_tokens,
    )


def _seed_after(seed: int, tokens: Sequence[int]) -> int:
    """Far from the seeds of other chains; 48 bits."""
    text = f"{seed}:{','.join(map(str, tokens))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest())
