"""Chains of steps: what a tree is made of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from deliberate.engines.protocol import Sample
from deliberate.verifiers.protocol import Verdict


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


def joined(chain: Sample, step: Sample, written: str) -> Sample:
    """The chain with one more step; `written` is the step's text as it stands there."""
    return Sample(
        chain.text + written,
        chain.token_ids + step.token_ids,
        chain.logprobs + step.logprobs,
        step.finish,
        chain.top_logprobs + step.top_logprobs,
        chain.unseen_tokens + step.unseen_tokens,
    )


def seed_after(seed: int, tokens: Sequence[int]) -> int:
    """Far from the seeds of other chains; 48 bits."""
    text = f"{seed}:{','.join(map(str, tokens))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest())
