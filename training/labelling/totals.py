"""What labelling comes to: of one problem for the metrics, of all for the artifact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deliberate.training.labelling.labels import first_error


@dataclass(slots=True)
class LabelTotals:
    """Counts lines of data; in whatever order, with the same result."""

    problems: int = 0
    problems_labelled: int = 0
    """Those with a solution that has a label."""
    solutions: int = 0
    solutions_wrong: int = 0
    """With a first error that was found."""
    steps: int = 0
    hard_labels: int = 0
    soft_labels: int = 0
    sampled: int = 0
    """Solutions that were drawn to be labelled."""
    completions: int = 0
    """Drawn after the steps of solutions."""
    completion_tokens: int = 0
    """Of both."""

    def add(self, line: Mapping[str, Any]) -> None:
        solutions = line["solutions"]
        self.problems += 1
        self.problems_labelled += bool(_labels(solutions, "hard_labels"))
        self.solutions += len(solutions)
        self.solutions_wrong += sum(first_error(solution["hard_labels"]) is not None for solution in solutions)
        self.steps += sum(len(solution["steps"]) for solution in solutions)
        self.hard_labels += len(_labels(solutions, "hard_labels"))
        self.soft_labels += len(_labels(solutions, "soft_labels"))
        self.sampled += line["usage"]["sampled"]
        self.completions += line["usage"]["completions"]
        self.completion_tokens += line["usage"]["completion_tokens"]

    def values(self, line: Mapping[str, Any]) -> dict[str, float]:
        """Of one line of data."""
        one = LabelTotals()
        one.add(line)
        return {
            "solutions": one.solutions,
            "completions": one.completions,
            "labelled": one.hard_labels / one.steps if one.steps else 0.0,
            **one.shares(),
        }

    def shares(self) -> dict[str, float]:
        """Those that there are."""
        return {"wrong": round(self.solutions_wrong / self.solutions, 6)} if self.solutions else {}

    def metrics(self) -> dict[str, float]:
        """For the artifact."""
        return {
            "problems": self.problems,
            "problems_labelled": self.problems_labelled,
            "solutions": self.solutions,
            "steps": self.steps,
            "hard_labels": self.hard_labels,
            "soft_labels": self.soft_labels,
            "sampled": self.sampled,
            "completions": self.completions,
            "completion_tokens": self.completion_tokens,
            **self.shares(),
        }


def _labels(solutions: list[Mapping[str, Any]], name: str) -> list[Any]:
    return [label for solution in solutions for label in solution[name] if label is not None]
