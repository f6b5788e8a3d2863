"""Several tasks as one: `python_functions+agent_json` streams problems of both, in equal shares."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from deliberate.training.tasks._protocol import Problem, Split, Task

SEPARATOR = "+"


@dataclass(frozen=True, slots=True)
class Mixture:
    """The tasks of a name such as `python_functions+agent_json`."""

    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        return SEPARATOR.join(task.name for task in self.tasks)

    @property
    def difficulties(self) -> range:
        """From the easiest of any task to the hardest."""
        return range(
            min(task.difficulties.start for task in self.tasks), max(task.difficulties.stop for task in self.tasks)
        )

    @property
    def system_prompts(self) -> Sequence[str]:
        """None: one task's would be put before another's problems."""
        return ()

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        """As `Task.problems`. Of difficulties that only some of the tasks have, those tasks give the problems."""
        given = [(task, _shared(task, difficulty)) for task in self.tasks]
        having = [(task, wanted) for task, wanted in given if wanted is None or wanted]
        if not having:
            raise ValueError(f"difficulty {difficulty!r}: none of {self.name} has it")
        streams = [task.problems(split, seed, None, wanted) for task, wanted in having]
        rng = random.Random(f"{self.name}:{split}:{seed}")
        return islice((next(rng.choice(streams)) for _ in count()), limit)


def _shared(task: Task, difficulty: Sequence[int] | None) -> list[int] | None:
    return None if difficulty is None else [wanted for wanted in difficulty if wanted in task.difficulties]
