"""What a step is: how it is drawn, what it writes, and whether its chain goes on."""

from dataclasses import dataclass
from typing import Literal

from deliberate.engines.protocol import Prompt, Sample, SampleBuilder, Sampling
from deliberate.search.nodes import Draft, Node, joined, seed_after
from deliberate.search.sampling import STREAM_INTERVAL, draw
from deliberate.search.strategy import Context


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
class Steps:
    """Under these rules, in one search."""

    context: Context
    rules: StepRules

    def sampling(self, draft: Draft, depth: int) -> Sampling:
        """Of a step after a chain of so many."""
        whole = draft.whole or depth + 1 >= self.rules.max_steps
        return self._sampling(draft.chain, whole=whole).model_copy(update={"seed": draft.seed})

    def node(self, index: int, parent: Node, draft: Draft, step: Sample, sampling: Sampling) -> Node:
        """The chain that ends in a step."""
        chain = draft.chain if draft.aside else joined(draft.chain, step, self._written(step))
        state = "live" if draft.aside else self._state(chain, step, sampling)
        node = Node(index, parent, chain, parent.depth + 1, state, seed_after(parent.seed, step.token_ids))
        node.steered = parent.steered or draft.prompt_ids != self.context.prompt.token_ids
        return node

    async def greedy(self, chain: Sample, builder: SampleBuilder) -> Sample:
        """The step at temperature 0 after a chain, which grows in `builder`."""
        sampling = self._sampling(chain, whole=False).model_copy(update={"temperature": 0.0})
        prompt = Prompt(self.context.prompt.token_ids + chain.token_ids)
        return await draw(self.context.engine, prompt, sampling, builder)

    def followed(self, chain: Sample, step: Sample) -> tuple[Sample, bool]:
        """The chain with a step, and whether it goes on after that."""
        return joined(chain, step, self._written(step)), self._separated(step)

    def _sampling(self, chain: Sample, *, whole: bool) -> Sampling:
        given = self.rules.sampling
        left = None if given.max_tokens is None else given.max_tokens - len(chain.token_ids)
        most = left if whole else min(filter(None, (left, self.rules.max_step_tokens)), default=None)
        stop = given.stop if whole else (*given.stop, self.rules.separator)
        return given.model_copy(update={"max_tokens": most, "stop": stop, "stream_interval": STREAM_INTERVAL})

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
