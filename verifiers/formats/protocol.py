"""What a format is: how a problem and the steps of a chain become token ids, and where in them each step is read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from deliberate.engines.protocol import Engine, Tokenizer
from deliberate.verifiers.chains import plain_text
from deliberate.verifiers.protocol import Candidate, Problem
from deliberate.verifiers.steps import closed_steps, split_steps

PLUS_MINUS = ("+", "-")
"""What generative reward models say of a step that is right, and of one that is wrong."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A chain as a reward model reads it; once it has grown, it begins with the same ids up to its last closed step."""

    ids: tuple[int, ...]
    """The model is read after the last one where it judges the chain as a whole."""
    ends: tuple[int, ...]
    """Where each step is read, from left to right; one token may end several. None for a chain that says nothing."""
    closed: int
    """How many of the steps are read there again, after the same ids, once the chain has grown."""


class Format(ABC):
    """How the reward models of one family read chains."""

    name: ClassVar[str]
    """In requests and in records of models."""
    reads_steps: ClassVar[bool] = True
    """It has scores for each step, and not for the whole alone."""
    marks: ClassVar[tuple[str, str] | None] = None
    """What its models, which are language models, say next of right and wrong; None for models with a reward head."""
    architectures: ClassVar[frozenset[str]] = frozenset()
    """Architectures of models that read no other format."""

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises InvalidRequest for a model that cannot have been trained so."""
        return

    @abstractmethod
    def lay_out(
        self,
        tokenizer: Tokenizer,
        policy: Engine | None,
        problem: Problem,
        candidates: Sequence[Candidate],
        separator: str,
    ) -> list[Layout]:
        """The candidates as the model with this tokenizer reads them; `separator` stands between their steps."""


class MarkedFormat(Format):
    """Formats that add ids of their own after each step and read the model at the last of these.

    Steps are encoded one by one, without the blanks around them: so their ids stay when the chain goes on.
    """

    def opening(self, tokenizer: Tokenizer, problem: Problem) -> Sequence[int]:
        """Ids before those of the first step."""
        return ()

    def first_step(self, tokenizer: Tokenizer, problem: Problem, text: str, separator: str) -> Sequence[int]:
        """Ids of the first step with its mark, where they differ from those of a later step."""
        return self.step(tokenizer, text, separator)

    @abstractmethod
    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        """Ids of a step with its mark."""

    def lay_out(
        self,
        tokenizer: Tokenizer,
        policy: Engine | None,
        problem: Problem,
        candidates: Sequence[Candidate],
        separator: str,
    ) -> list[Layout]:
        opening = tuple(self.opening(tokenizer, problem))

        @cache
        def ids(text: str, first: bool) -> Sequence[int]:
            """Siblings have most of their steps in common."""
            if first:
                return self.first_step(tokenizer, problem, text, separator)
            return self.step(tokenizer, text, separator)

        layouts = list[Layout]()
        for text in map(plain_text, candidates):
            steps = [step.strip() for step in split_steps(text, separator)]
            pieces = [ids(step, number == 0) for number, step in enumerate(steps)]
            layouts.append(_joined(opening, pieces, closed_steps(text, separator)))
        return layouts


def question(problem: Problem) -> str:
    """What was asked, for models that know no conversations: the text of the last message of a user."""
    asked = [message for message in problem.messages if message.get("role") == "user"] or problem.messages
    return str(asked[-1].get("content") or "") if asked else ""


def _joined(opening: tuple[int, ...], steps: Sequence[Sequence[int]], closed: int) -> Layout:
    ids, ends = list(opening), list[int]()
    for step in steps:
        ids += step
        ends.append(len(ids) - 1)
    return Layout(tuple(ids), tuple(ends), closed)
