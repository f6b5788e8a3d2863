"""One score for a chain from the scores of its steps (the names of Lightman 2023 and Snell 2024), or from log-odds."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

Aggregation: TypeAlias = Literal["last", "min", "prod", "mean", "max"]

_RULES: dict[Aggregation, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "max": max,
}


def aggregate(rule: Aggregation, scores: Sequence[float]) -> float:
    """`scores` holds at least one score in [0, 1]; so is the result."""
    return _RULES[rule](scores)


def sigmoid(log_odds: float) -> float:
    """The probability; exact at both infinities."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))
