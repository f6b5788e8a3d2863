"""One score for a chain from the scores of its steps (the names of Lightman 2023 and Snell 2024)."""

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
