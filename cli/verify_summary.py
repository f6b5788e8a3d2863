"""What a file of verdicts comes to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rich.table import Table

_MOST_REASONS = 3
_LONGEST_REASON = 120


@dataclass(slots=True)
class Summary:
    """Counts verdicts, in the form in which `/v1/verify` writes them."""

    problems: int = 0
    solved: int = 0
    """Problems with an answer that passed."""
    verdicts: int = 0
    passed: int = 0
    rejected: int = 0
    scores: list[float] = field(default_factory=list[float])
    """Of what was decided."""
    reasons: Counter[str] = field(default_factory=Counter[str])
    """Why nothing was decided."""

    def add(self, verdicts: Iterable[dict[str, Any]]) -> None:
        """The verdicts on one problem."""
        row = list(verdicts)
        self.problems += 1
        self.verdicts += len(row)
        self.passed += sum(verdict["passed"] is True for verdict in row)
        self.rejected += sum(verdict["passed"] is False for verdict in row)
        self.solved += any(verdict["passed"] is True for verdict in row)
        self.scores += [verdict["score"] for verdict in row if verdict["score"] is not None]
        self.reasons.update(f"{verdict['status']}: {verdict['reason']}" for verdict in row if verdict["score"] is None)

    @property
    def undecided(self) -> int:
        return self.verdicts - len(self.scores)

    @property
    def pass_rate(self) -> float | None:
        """Of the answers that were accepted or rejected; None without any."""
        told = self.passed + self.rejected
        return self.passed / told if told else None

    @property
    def mean_score(self) -> float | None:
        return fmean(self.scores) if self.scores else None

    @property
    def assured(self) -> float:
        """Share of all answers that passed, or of verifiers that only grade the mean score; undecided answers count
        as if they had failed, because a gate must not open where its check did not run."""
        if not self.verdicts:
            return 0.0
        return (self.passed if self.pass_rate is not None else sum(self.scores)) / self.verdicts

    def table(self, seconds: float, judged: int) -> Table:
        """For people; `judged` verdicts took so long."""
        table = Table(show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        table.add_row("Problems", f"{self.problems:,}")
        table.add_row("Answers", f"{self.verdicts:,}")
        if self.pass_rate is not None:
            table.add_row("Pass rate", f"{self.pass_rate:.1%} ({self.passed:,} of {self.passed + self.rejected:,})")
            if self.verdicts > self.problems:
                table.add_row("Problems with a pass", f"{self.solved / self.problems:.1%} ({self.solved:,})")
        table.add_row("Mean score", "-" if self.mean_score is None else f"{self.mean_score:.3f}")
        table.add_row(
            "Undecided", f"{self.undecided:,}" + "".join(self._why()), style="yellow" if self.undecided else ""
        )
        table.add_row(
            "Speed", f"{judged / seconds:,.1f} verdicts/s" if judged and seconds else "nothing was left to do"
        )
        return table

    def _why(self) -> list[str]:
        """The most frequent reasons."""
        counted = self.reasons.most_common(_MOST_REASONS)
        lines = [f"\n{count:,} x {reason[:_LONGEST_REASON]}" for reason, count in counted]
        return [*lines, f"\n… {len(self.reasons) - len(counted):,} other reasons"] if len(self.reasons) > 3 else lines
