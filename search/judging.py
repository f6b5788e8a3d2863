"""What the verifier says of chains: those that end at the same time are judged together, equal ones once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from deliberate.engines.protocol import Finish, Sample, SampleBuilder
from deliberate.search.activity import Activity
from deliberate.search.events import LookedAhead, Scored
from deliberate.search.nodes import Node
from deliberate.search.steps import Steps
from deliberate.verifiers.protocol import Candidate, Verdict


@dataclass(slots=True)
class _Ask:
    """Chains of the same tokens, which the verifier reads once."""

    candidate: Candidate
    nodes: list[Node]


@dataclass(slots=True)
class Judging:
    """The chains of one search that were judged, or will be."""

    steps: Steps
    activity: Activity
    _asks: dict[tuple[int, ...], _Ask | Verdict] = field(default_factory=lambda: dict[tuple[int, ...], Any]())
    """By the chains' tokens: what the verifier was asked, or what it said."""
    _unjudged: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])

    def ask(self, node: Node) -> None:
        """Have a chain judged; one that was or will be is not asked for again."""
        known = self._asks.get(node.chain.token_ids)
        if isinstance(known, Verdict):
            self.activity.tell(Scored(node.index, known))
        elif known is not None:
            known.nodes.append(node)
        elif self.steps.rules.lookahead and not node.ended:
            self._asks[node.chain.token_ids] = _Ask(self._candidate(node), [node])
            self.activity.start(self._look_ahead(node), node)
        else:
            self._asks[node.chain.token_ids] = _Ask(self._candidate(node), [node])
            self._await(node)

    def _candidate(self, node: Node) -> Candidate:
        earlier = None if self.steps.rules.lookahead or node.parent is None else node.parent.verdict
        chain = node.chain
        logprobs = None if node.steered else chain.logprobs
        alternatives = () if node.steered else chain.top_logprobs
        return Candidate(chain.text, chain.token_ids, logprobs, node.state == "finished", earlier, alternatives)

    def _await(self, node: Node) -> None:
        self._unjudged.append(node.chain.token_ids)
        if len(self._unjudged) == 1:
            # Starts once all that the engine has just told was heard, so that these chains are judged together.
            self.activity.start(self._judge(), None)

    async def _judge(self) -> None:
        context = self.steps.context
        assert context.verifier is not None, "only searches that verify ask for judgements"
        chains, self._unjudged = self._unjudged, []
        asks = [ask for chain in chains if isinstance(ask := self._asks[chain], _Ask)]
        verdicts = await context.verifier.verify(context.problem, [ask.candidate for ask in asks])
        for chain, ask, verdict in zip(chains, asks, verdicts, strict=True):
            self._asks[chain] = verdict
            for node in ask.nodes:
                self.activity.tell(Scored(node.index, verdict))

    async def _look_ahead(self, node: Node) -> None:
        """Roll the chain on at temperature 0, and have it judged with the text of the rollout."""
        chain, goes_on = node.chain, True
        for _ in range(self.steps.rules.lookahead):
            if not goes_on:
                break
            step = await self._greedy_step(node, chain)
            chain, goes_on = self.steps.followed(chain, step)
            self.activity.tell(LookedAhead(node.index, step))
        ask = self._asks[node.chain.token_ids]
        assert isinstance(ask, _Ask), "it is judged after the rollout"
        finished = not goes_on and chain.finish.reason == "stop"
        ask.candidate = Candidate(chain.text, chain.token_ids, chain.logprobs, finished)
        self._await(node)

    async def _greedy_step(self, node: Node, chain: Sample) -> Sample:
        builder = SampleBuilder()
        try:
            return await self.steps.greedy(chain, builder)
        except asyncio.CancelledError:
            self.activity.tell(LookedAhead(node.index, builder.ended(Finish("length"))))
            raise
