"""Where chains come from: rows of datasets, and a task's exactly labelled ones."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from deliberate.engines.errors import InvalidRequest
from deliberate.training.datasets.mixing import Mixture
from deliberate.training.reward_models.chains import Chain, Group
from deliberate.training.reward_models.layouts import LaidOut, Layouts
from deliberate.training.tasks import Problem, Task, load_task
from deliberate.training.tasks._steps import CheckedSteps, StepChecker

WINDOW = 16
"""Batches that are sorted by length together."""

Made = Callable[[Layouts, Problem, Sequence[CheckedSteps]], Sequence[Group]]
"""Groups of a problem's chains, of which the first is its solution."""


class GroupSource(Protocol):
    """Endless groups, cut into windows."""

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Group]:
        """The groups of a window, at least `count`; `rng` is the window's own."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Groups that were read, epoch after epoch."""

    groups: Mixture[Group]

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Group]:
        rows = self.groups.from_position(index * count)
        return [next(rows) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class TaskChains:
    """Solutions of a task's fresh problems, and the same with one error each."""

    task: Task
    layouts: Layouts
    made: Made
    difficulty: tuple[int, ...] | None
    corruptions: int

    @classmethod
    def of(
        cls, name: str, layouts: Layouts, made: Made, difficulty: tuple[int, ...] | None, corruptions: int
    ) -> "TaskChains":
        """Raises InvalidRequest for a task that cannot label steps."""
        task = load_task(name)
        if not isinstance(task, StepChecker):
            raise InvalidRequest(
                f"The task {name!r} does not know which steps are right; give datasets instead.", param="task"
            )
        return cls(task, layouts, made, difficulty, corruptions)

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Group]:
        groups = list[Group]()
        for problem in self.task.problems("train", rng.getrandbits(64), None, self.difficulty):
            groups += self.made(self.layouts, problem, self._chains(problem, rng))
            if len(groups) >= count:
                break
        return groups[:count]

    def held_out(self, seed: int, count: int) -> Iterator[tuple[Problem, Sequence[CheckedSteps]]]:
        """Problems of the test split with their chains."""
        for problem in self.task.problems("test", seed, count, self.difficulty):
            yield problem, self._chains(problem, random.Random(f"chains:{seed}:{problem.id}"))

    def _chains(self, problem: Problem, rng: random.Random) -> Sequence[CheckedSteps]:
        assert isinstance(self.task, StepChecker)
        steps = tuple(step for step in (problem.solution or "").split("\n") if step.strip())
        right = CheckedSteps(steps, self.task.step_labels(problem, steps))
        return [right, *(self.task.corrupted(problem, rng) for _ in range(self.corruptions))]


@dataclass(frozen=True, slots=True)
class Blend:
    """Of both, by share."""

    rows: GroupSource
    streamed: GroupSource
    share: float
    """Of the streamed ones."""

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Group]:
        streamed = round(self.share * count)
        return [*self.rows.window(index, count - streamed, rng), *self.streamed.window(index, streamed, rng)]


class Batches:
    """The batches of a run. Any step's is reached without replaying those before it."""

    def __init__(self, source: GroupSource, *, seed: int, groups: int, most: int) -> None:
        """A batch has so many groups, of which each keeps at most `most` chains."""
        self._source = source
        self._seed = seed
        self._groups = groups
        self._most = most
        self._window: tuple[int, list[list[Sequence[Chain]]]] = (-1, [])

    def at(self, step: int) -> list[Sequence[Chain]]:
        """The chains of each group."""
        index, offset = divmod(step, WINDOW)
        if index != self._window[0]:
            self._window = index, self._cut(index)
        return self._window[1][offset]

    def _cut(self, index: int) -> list[list[Sequence[Chain]]]:
        rng = random.Random(f"window:{self._seed}:{index}")
        groups = sorted(self._source.window(index, WINDOW * self._groups, rng), key=len)
        drawn = [_drawn(group.chains, self._most, rng) for group in groups]
        batches = [drawn[first : first + self._groups] for first in range(0, len(drawn), self._groups)]
        rng.shuffle(batches)
        return batches


def _drawn(chains: Sequence[Chain], most: int, rng: random.Random) -> Sequence[Chain]:
    """At most so many of a group's chains, of the best and the worst of them at least one each."""
    if len(chains) <= most:
        return chains
    order = rng.sample(range(len(chains)), len(chains))
    if most > 1:
        order.sort(key=lambda index: chains[index].labels[-1] or 0.0)
        order = [order[0], order[-1], *rng.sample(order[1:-1], most - 2)]
    return [chains[index] for index in sorted(order[:most])]


def as_outcomes(layouts: Layouts, problem: Problem, chains: Sequence[CheckedSteps]) -> Sequence[Group]:
    """One group: right is what ends in the right answer."""
    judged = [
        Chain.judged(layouts(problem.messages, text_of(layouts, chain.steps)), float(chain.labels[-1]))
        for chain in chains
    ]
    return [Group(problem.id, tuple(judged))]


def as_steps(layouts: Layouts, problem: Problem, chains: Sequence[CheckedSteps]) -> Sequence[Group]:
    """Each chain by itself."""
    return [
        Group(problem.id, (labelled(layouts(problem.messages, text_of(layouts, chain.steps)), chain.labels),))
        for chain in chains
    ]


def labelled(layout: LaidOut, labels: Iterable[bool | float | None]) -> Chain:
    return Chain.labelled(layout, [None if label is None else float(label) for label in labels])


def text_of(layouts: Layouts, steps: Sequence[str]) -> str:
    return layouts.separator.join(steps)
