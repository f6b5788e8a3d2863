"""What a result is worth: accuracy against generated tokens, from the figures that `deliberate eval` saves."""

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from deliberate.engines.errors import InvalidRequest

_MOST_BYTES = 4 << 20
"""Longer files are no figures."""


class _Result(BaseModel):
    """A strategy at full width."""

    strategy: str
    model: str
    n: int
    accuracy: float
    tokens: float


class Evaluation(BaseModel):
    """The file, as far as it is drawn."""

    task: str
    split: str
    limit: int = Field(gt=0)
    seed: int
    temperature: float
    model: str
    results: list[_Result]
    curves: dict[str, list[tuple[int, float]]]
    curve_tokens: dict[str, list[int]] = {}
    pass_at: dict[int, float]

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Raises InvalidRequest for a file that is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            raise InvalidRequest(
                f"{path} holds no figures; `deliberate eval --output DIR` saves them there."
            ) from error

    def drawn(self) -> dict[str, Any]:
        """Series of points, for the page. Of files without tokens for each width they grow with the width."""
        title = f"{self.model} on {self.task}/{self.split}, {self.limit} problems"
        facts = f"seed {self.seed}, temperature {self.temperature:g}"
        series = [_series(name, self._curve(name)) for name in self.curves]
        alone = [row for row in self.results if row.strategy not in self.curves]
        single = [
            _series(f"{row.strategy}, {row.model}", [self._point(row.n, row.tokens, row.accuracy)]) for row in alone
        ]
        ceiling = _series("pass@n, which no choice can beat", self._ceiling(), dashed=True)
        return {"title": title, "facts": facts, "series": [one for one in [*series, *single, ceiling] if one["points"]]}

    def _curve(self, name: str) -> list[dict[str, float]]:
        return [self._point(n, self._tokens(name, n), accuracy) for n, accuracy in self.curves[name]]

    def _ceiling(self) -> list[dict[str, float]]:
        """Beside the strategy that spends most, which draws as many samples as it may."""
        most = max(self.curves, key=self._most_tokens, default=None)
        points = sorted(self.pass_at.items()) if most is not None else []
        return [self._point(k, self._tokens(str(most), k), accuracy) for k, accuracy in points]

    def _tokens(self, name: str, n: int) -> float:
        """Generated for all problems with n samples each."""
        widths = [width for width, _ in self.curves[name]]
        spent = dict(zip(widths, self.curve_tokens.get(name, []), strict=False))
        return spent.get(n, self._most_tokens(name) * n / max(widths))

    def _most_tokens(self, name: str) -> float:
        return next((row.tokens for row in self.results if row.strategy == name), 0.0)

    def _point(self, n: int, tokens: float, accuracy: float) -> dict[str, float]:
        error = sqrt(max(0.0, accuracy * (1 - accuracy)) / self.limit)
        return {"n": n, "tokens": round(tokens / self.limit, 1), "accuracy": 100 * accuracy, "error": 100 * error}


def _series(name: str, points: list[dict[str, float]], *, dashed: bool = False) -> dict[str, Any]:
    return {"name": name, "points": points, "dashed": dashed}


def evaluations(folder: Path, given: Sequence[Path]) -> list[Evaluation]:
    """Those given, and those found in the folder, in the order of their names."""
    found = [path for path in sorted(folder.rglob("*.json")) if _is_evaluation(path)]
    known = {path.resolve() for path in found}
    return [Evaluation.load(path) for path in [*found, *(path for path in given if path.resolve() not in known)]]


def _is_evaluation(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return False
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"results", "curves", "pass_at"} <= value.keys()
