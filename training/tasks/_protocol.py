"""What a task is: a stream of problems that can be generated, solved and graded exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from deliberate.search.evaluation import Question

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its exact answer and a worked reference solution."""

    id: str
    """Unique by content: equal ids mean equal questions."""
    question: str
    """What the user asks, in plain text."""
    answer: str
    """The exact final answer, as it stands between the answer tags."""
    solution: str
    """A full completion in R1 form: `<think>`, one step per line, `</think>`, `<answer>…</answer>`."""
    difficulty: int
    """Number of reasoning steps in the reference solution."""
    split: Split
    """Which side of the task's train / held-out division the problem lies on."""


class Task(Protocol):
    """A generator of graded problems. One module of this package, exposing it as `TASK`, is one task."""

    @property
    def name(self) -> str:
        """The module's name, by which `load_task` finds it."""
        ...

    @property
    def system_prompts(self) -> Sequence[str]:
        """System messages that a fitting client may send; training mixes some in."""
        ...

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        """Stream problems, the same ones for the same arguments.

        Args:
            split: "train" or "test"; no problem is ever in both, whatever the seeds.
            seed: any integer.
            limit: how many problems; None streams without end. A shorter stream is a prefix of a longer one.
            difficulty: the step counts to draw from, such as `range(2, 8)`; None is the task's own range.

        Raises:
            ValueError: an unknown split, or a difficulty the task does not have.
        """
        ...

    def grade(self, problem: Problem, completion: str) -> bool:
        """Whether the completion's final answer is exactly the problem's."""
        ...


def as_question(task: Task, problem: Problem) -> Question:
    """The problem as strategies are evaluated on it."""
    messages = ({"role": "user", "content": problem.question},)
    return Question(problem.id, messages, lambda reply: task.grade(problem, reply))
