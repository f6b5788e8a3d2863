"""A solution cut into steps, so that each of its beginnings is a prefix of its token ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from deliberate.engines.protocol import Tokenizer
from deliberate.training.labelling.completions import Completion
from deliberate.verifiers.chains import Pieces
from deliberate.verifiers.steps import split_steps, tokens_by_step


@dataclass(frozen=True, slots=True)
class Solution:
    """Token ids, and where the steps end in them."""

    tokens: tuple[int, ...]
    """After the problem's prompt."""
    steps: tuple[str, ...]
    """At least one, in order."""
    ends: tuple[int, ...]
    """For each step, how many tokens there are up to and with its last."""
    right: bool | None
    """Whether the final answer is right."""
    finished: bool = True
    """False when it was cut by length."""

    def prefix(self, steps: int) -> tuple[int, ...]:
        """The tokens of the first steps; of all of them, the whole solution."""
        if steps == len(self.steps):
            return self.tokens
        return self.tokens[: self.ends[steps - 1]] if steps else ()

    @property
    def prefixes(self) -> list[tuple[int, ...]]:
        """After each step."""
        return [self.prefix(steps) for steps in range(1, len(self.steps) + 1)]


Cut: TypeAlias = Callable[[Completion], Solution | None]
"""Cuts a completion of the empty prefix; None where it shows no step."""


class Cutter:
    """Cuts at a separator, as searches and verifiers do."""

    def __init__(self, tokenizer: Tokenizer, separator: str) -> None:
        self._tokenizer, self._separator = tokenizer, separator
        self._pieces = Pieces(tokenizer)

    def __call__(self, whole: Completion) -> Solution | None:
        text = self._tokenizer.decode(whole.tokens)
        steps = split_steps(text, self._separator)
        parts = tokens_by_step([self._pieces[token] for token in whole.tokens], self._separator)
        if not steps or len(parts) != len(steps):
            return None
        ends = tuple(part.tokens[-1] + 1 for part in parts)
        return Solution(whole.tokens, tuple(steps), ends, whole.right, whole.finished)

    def text(self, text: str, ids: Sequence[int] | None, right: bool | None, finished: bool) -> Solution | None:
        """A solution from elsewhere. Its ids count where they are this tokenizer's; otherwise the text is encoded."""
        given = tuple(ids or ())
        known = self._tokenizer.decode(given) == text if given else False
        return self(Completion(given if known else tuple(self._tokenizer.encode(text)), right, finished))
