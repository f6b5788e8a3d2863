"""Labels by a task's own checker of steps."""

from collections.abc import Mapping
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.training.datasets.problems import TaskConfig
from deliberate.training.labelling.labels import Labelled
from deliberate.training.labelling.solutions import Solution
from deliberate.training.tasks import Problem, Task, load_task
from deliberate.training.tasks._steps import StepChecker


@dataclass(frozen=True, slots=True)
class ExactLabels:
    """Knows the problems of a task."""

    checker: StepChecker
    problems: Mapping[str, Problem]
    """By id."""

    @classmethod
    def of(cls, config: TaskConfig) -> "ExactLabels":
        """Raises InvalidRequest for a task that checks no steps."""
        task = load_task(config.name)
        problems = task.problems(config.split, config.seed, config.count, config.difficulty)
        return cls(step_checker(task), {problem.id: problem for problem in problems})

    def labelled(self, problem: str, solution: Solution) -> Labelled:
        """The labels of a solution of that problem."""
        labels = self.checker.step_labels(self.problems[problem], solution.steps)
        return Labelled(solution, labels, (None,) * len(labels))


def step_checker(task: Task) -> StepChecker:
    """The task, as one that checks steps. Raises InvalidRequest where it does not."""
    if not isinstance(task, StepChecker):
        raise InvalidRequest(
            f"The task {task.name!r} cannot check steps; label them by monte_carlo, binary_search or omega_prm.",
            param="task",
        )
    return task
