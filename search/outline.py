"""The tree that a search's events draw: which step follows which, and what became of each.

Whole candidates are steps of their own, right after the prompt.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from deliberate.engines.protocol import Finish
from deliberate.search.events import (
    PROMPT,
    Cancelled,
    Chosen,
    Completed,
    Event,
    Expanded,
    Failed,
    Pruned,
    Sampled,
    Scored,
    Visited,
)
from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.protocol import Verdict

Fate = Literal["live", "finished", "truncated", "pruned", "cancelled", "failed"]


@dataclass(slots=True, eq=False)
class Step:
    """One step, and all that is known of the chain that ends with it."""

    index: int
    parent: "Step | None"
    """None of the prompt alone."""
    depth: int = 0
    """In steps; the prompt has 0."""
    text: str = ""
    tokens: int = 0
    fate: Fate = "live"
    detail: str = ""
    """Why it was pruned or failed."""
    verdict: Verdict | None = None
    answer: str | None = None
    """The final answer, of chains that ended."""
    visits: int = 0
    value: float | None = None
    """Mean over the visits."""
    rank: int | None = None
    """Of the answer that it became; the best has 0."""
    children: "list[Step]" = field(default_factory=lambda: list[Step]())

    @property
    def score(self) -> float | None:
        """The verifier's, where it could decide."""
        return None if self.verdict is None else self.verdict.score

    @property
    def pruned(self) -> bool:
        """It, or a beginning of it, is not followed any further."""
        return self.fate == "pruned" or (self.parent is not None and self.parent.pruned)

    @property
    def chosen(self) -> bool:
        """It is part of an answer."""
        return self.rank is not None or any(child.chosen for child in self.children)


class Outline:
    """The tree as far as it has grown."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.root = Step(PROMPT, None)
        self.steps: dict[int, Step] = {PROMPT: self.root}
        """By index, the prompt with them."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Read one event, in order."""
        match event:
            case Expanded(index, parent, step):
                self._grow(index, parent, step.text, step.tokens)
            case Sampled(index, sample):
                self._end(self._grow(index, PROMPT, sample.text, sample.tokens), sample.text, sample.finish)
            case Completed(index, sample):
                self._end(self.steps[index], sample.text, sample.finish)
            case Cancelled(index, tokens, parent):
                self._grow(index, PROMPT if parent is None else parent, "", tokens).fate = "cancelled"
            case Failed(index, tokens, detail, parent):
                failed = self._grow(index, PROMPT if parent is None else parent, "", tokens)
                failed.fate, failed.detail = "failed", detail
            case _:
                self._judge(event)

    def _judge(self, event: Event) -> None:
        """Note what is thought of steps that are there."""
        match event:
            case Pruned(index, reason):
                pruned = self.steps[index]
                pruned.fate, pruned.detail = "pruned", reason
            case Scored(index, verdict):
                self.steps[index].verdict = verdict
            case Visited(index, visits, value):
                visited = self.steps[index]
                visited.visits, visited.value = visits, value
            case Chosen(choices):
                for rank, choice in enumerate(choices):
                    self.steps[choice.index].rank = rank
            case _:
                pass

    def at_depth(self, depth: int) -> Iterator[Step]:
        """All steps of this depth that came to an end."""
        steps = (step for step in self.steps.values() if step.fate not in ("cancelled", "failed"))
        return (step for step in steps if step.depth == depth)

    def _grow(self, index: int, parent: int, text: str, tokens: int) -> Step:
        before = self.steps[parent]
        step = self.steps[index] = Step(index, before, before.depth + 1, text, tokens)
        before.children.append(step)
        return step

    def _end(self, step: Step, text: str, finish: Finish) -> None:
        step.fate = "finished" if finish.reason == "stop" else "truncated"
        step.answer = final_answer(text)
