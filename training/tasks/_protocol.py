"""What a task is: a stream of problems that can be generated, solved and graded exactly."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, Literal, Protocol, get_args

from deliberate.engines.protocol import Message
from deliberate.search.evaluation import Question
from deliberate.verifiers.messages import text_of
from deliberate.verifiers.registry import parse_verifier

Split = Literal["train", "test"]
Spec = Mapping[str, Any]
"""A verifier as a request would write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question, who judges answers to it and, where there is one, a worked reference solution."""

    id: str
    """Unique by content: equal ids mean equal questions."""
    messages: tuple[Message, ...]
    """The conversation so far, in OpenAI's wire format; most have one message of the user."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions that an answer may call, in OpenAI's wire format."""
    verifier: Spec
    """Who grades: an answer that it passes is right. It may know what no answer may be told."""
    hints: Mapping[str, Spec] = field(default_factory=dict[str, Spec])
    """Verifiers that strategies may ask, by name: they know no more than the question tells, such as its examples."""
    answer: str | None = None
    """The exact final answer, as it stands between the answer tags; None where many answers are right."""
    solution: str | None = None
    """A full completion that the verifier passes; None where the task has none."""
    difficulty: int
    """What the task counts: the steps of its reference solution, mostly."""
    split: Split
    """Which side of the task's train / held-out division the problem lies on."""

    @property
    def question(self) -> str:
        """What the user says."""
        return "\n".join(text_of(message) for message in self.messages if message.get("role") == "user")


class Task(Protocol):
    """A generator of graded problems. One module of this package, exposing it as `TASK`, is one task."""

    @property
    def name(self) -> str:
        """The module's name, by which `load_task` finds it."""
        ...

    @property
    def difficulties(self) -> range:
        """Those that its problems have."""
        ...

    @property
    def system_prompts(self) -> Sequence[str]:
        """System messages that a fitting client may send, mixed in by training; none where problems have their own."""
        ...

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        """Stream problems, the same ones for the same arguments.

        Args:
            split: "train" or "test"; no problem is ever in both, whatever the seeds.
            seed: any integer.
            limit: how many problems; None streams without end. A shorter stream is a prefix of a longer one.
            difficulty: those to draw from, such as `range(2, 8)`; None is the task's own range.

        Raises:
            ValueError: an unknown split, or a difficulty the task does not have.
        """
        ...


def user(text: str) -> tuple[Message, ...]:
    """A conversation that the user opens."""
    return ({"role": "user", "content": text},)


def stream(
    task: Task,
    make: Callable[[random.Random, Split, int], Problem],
    split: Split,
    seed: int,
    limit: int | None,
    difficulty: Sequence[int] | None,
    of: str,
) -> Iterator[Problem]:
    """What `Task.problems` gives. `make` draws a problem of a split and a difficulty; `of` says what that counts.

    Raises ValueError, at once, for a split or a difficulty that the task lacks.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}; the splits are: {', '.join(get_args(Split))}")
    known = task.difficulties
    wanted = known if difficulty is None else difficulty
    if not wanted or any(n not in known for n in wanted):
        raise ValueError(f"difficulty {difficulty!r}: {task.name} has {known[0]} to {known[-1]} {of}")
    rng = random.Random(f"{task.name}:{split}:{seed}")
    return islice((make(rng, split, rng.choice(wanted)) for _ in count()), limit)


def as_question(problem: Problem) -> Question:
    """The problem as strategies are evaluated on it."""
    hints = {name: parse_verifier(spec) for name, spec in problem.hints.items()}
    return Question(problem.id, problem.messages, parse_verifier(problem.verifier), problem.tools, hints)
