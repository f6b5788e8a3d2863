"""What rollouts come to: of one problem for the metrics, of all for the artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum
from statistics import fmean, pstdev
from typing import Any


@dataclass(slots=True)
class RolloutTotals:
    """Counts lines of data; in whatever order, with the same result."""

    problems: int = 0
    completions: int = 0
    completions_finished: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    solved: int = 0
    """Problems with a completion of score 1."""
    scores: list[float] = field(default_factory=list[float])

    def add(self, line: Mapping[str, Any]) -> None:
        scores = _decided(line)
        self.problems += 1
        self.completions += len(line["candidates"])
        self.completions_finished += sum(candidate["finished"] for candidate in line["candidates"])
        self.prompt_tokens += line["usage"]["prompt_tokens"]
        self.completion_tokens += line["usage"]["completion_tokens"]
        self.solved += max(scores, default=0.0) == 1
        self.scores += scores

    def values(self, line: Mapping[str, Any]) -> dict[str, float]:
        """Of one line of data. Without a score there is no reward."""
        scores = _decided(line)
        rewards = {"reward": fmean(scores), "reward_std": pstdev(scores)} if scores else {}
        count = len(line["candidates"])
        return {
            **rewards,
            "decided": len(scores) / count,
            "completion_length": line["usage"]["completion_tokens"] / count,
            "finished": fmean(candidate["finished"] for candidate in line["candidates"]),
        }

    def metrics(self) -> dict[str, float]:
        """For the artifact."""
        found = {
            "problems": self.problems,
            "completions": self.completions,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "finished": _share(self.completions_finished, self.completions),
            "undecided": self.completions - len(self.scores),
        }
        if self.scores:
            found |= {
                "reward": _share(fsum(self.scores), len(self.scores)),
                "solved": _share(self.solved, self.problems),
            }
        return found


def _decided(line: Mapping[str, Any]) -> list[float]:
    return [score for score in line["scores"] if score is not None]


def _share(part: float, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
