"""Active selection: the answers from which a reward model learns most are wrong ones that look right.

Lightman et al. 2023 (arXiv:2305.20050), section 4.2: of each problem 80 % of the answers that are labelled are those
wrong ones that a small selector finds most convincing, and 20 % the most convincing of all others. In the paper that
makes labelled answers worth 2.6 times as many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from deliberate.training.datasets.rows import Sample


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, and what the selector gives it."""

    sample: Sample
    """With its true score."""
    convincing: float | None
    """None where the selector could not decide: the least convincing."""


def most_convincing(
    answers: Sequence[Judged], count: int, *, wrong_share: float, min_score: float
) -> tuple[Judged, ...]:
    """`count` of them, or all where there are fewer, in the order in which they were sampled.

    Answers with a true score below `min_score` are wrong. Where there are fewer wrong ones than their share, others
    take their places.
    """
    ranked = sorted(answers, key=lambda answer: -1.0 if answer.convincing is None else answer.convincing, reverse=True)
    wrong = [answer for answer in ranked if (answer.sample.score or 0.0) < min_score][: round(wrong_share * count)]
    first = {id(answer) for answer in wrong}
    others = [answer for answer in ranked if id(answer) not in first][: count - len(wrong)]
    kept = first | {id(answer) for answer in others}
    return tuple(answer for answer in answers if id(answer) in kept)


@dataclass(slots=True)
class SelectionTotals:
    """Counts lines of data; in whatever order, with the same result."""

    completion_tokens: int = 0
    """None are sampled here."""
    problems: int = 0
    kept: int = 0
    right: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        self.problems += 1
        self.kept += len(line["scores"])
        self.right += sum(score == 1 for score in line["scores"])

    def values(self, line: Mapping[str, Any]) -> dict[str, float]:
        """Of one line of data."""
        return {"accuracy": fmean(score == 1 for score in line["scores"]), "kept": len(line["scores"])}

    def metrics(self) -> dict[str, float]:
        """For the artifact."""
        return {"problems": self.problems, "completions_kept": self.kept, "completions_right": self.right}
