"""What a run wrote, step by step: as many steps and samples as a page holds and a person looks at."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from deliberate.training.recording.samples import FILE_NAME
from deliberate.training.report.lines import Lines

MOST_STEPS = 60
MOST_SAMPLES = 16
"""Of a step; the first, which are whole groups."""
MOST_CHARACTERS = 3_000
"""Of one text; the middle of a longer one is left out."""

# As `SamplesLog` writes them, so that a long file is passed through quickly.
_STEP = re.compile(rb'\{"step": (\d+), ')


@dataclass(slots=True)
class Samples:
    """The samples of a run that are shown."""

    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Each with its `step`, how many samples it had in `total`, and `groups` of one prompt."""
    notes: list[str] = field(default_factory=list[str])
    all_steps: int = 0
    """How many the file has."""

    @classmethod
    def read(cls, folder: Path) -> "Samples":
        path = folder / FILE_NAME
        if not path.is_file():
            return cls()
        lines = Lines(path)
        places = _places(lines)
        steps = [_step(lines, step, places[step]) for step in _spread(sorted(places), MOST_STEPS)]
        return cls(steps, lines.notes, len(places))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest reward."""
        samples = (sample for step in self.steps for group in step["groups"] for sample in group["samples"])
        rewards = [sample["reward"] for sample in samples if sample["reward"] is not None]
        return (min(rewards), max(rewards)) if rewards else (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a line is."""

    number: int
    offset: int


def _places(lines: Lines) -> dict[int, list[_Place]]:
    places: dict[int, list[_Place]] = {}
    offset = 0
    with lines.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            step = _step_of(lines, number, line)
            if step is not None:
                places.setdefault(step, []).append(_Place(number, offset))
            offset += len(line)
    return places


def _step_of(lines: Lines, number: int, line: bytes) -> int | None:
    if not line.endswith(b"\n"):
        return None
    if match := _STEP.match(line):
        return int(match[1])
    value = lines.read(number, line)
    return None if value is None else value["step"]


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """Steps at even distances, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[number * (len(steps) - 1) // (most - 1)] for number in range(most)]


def _step(lines: Lines, step: int, places: Sequence[_Place]) -> dict[str, Any]:
    shown = list(_objects(lines, places[:MOST_SAMPLES]))
    groups = groupby(shown, key=lambda sample: str(sample.get("prompt")))
    return {
        "step": step,
        "total": len(places),
        "groups": [{"prompt": _cut(prompt), "samples": list(map(_shown, group))} for prompt, group in groups],
    }


def _objects(lines: Lines, places: Sequence[_Place]) -> Iterator[Mapping[str, Any]]:
    with lines.path.open("rb") as file:
        for place in places:
            file.seek(place.offset)
            value = lines.read(place.number, file.readline())
            if value is not None:
                yield value


def _shown(sample: Mapping[str, Any]) -> dict[str, Any]:
    rewards = sample.get("rewards")
    parts = cast("Mapping[str, object]", rewards) if isinstance(rewards, dict) else {}
    return {
        "completion": _cut(str(sample.get("completion"))),
        "reward": _number(sample.get("reward")),
        "rewards": {name: _number(value) for name, value in parts.items()},
        "advantage": _number(sample.get("advantage")),
        "finished": sample.get("finished") is not False,
    }


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    head, tail = text[: 2 * MOST_CHARACTERS // 3], text[-MOST_CHARACTERS // 3 :]
    return f"{head}\n… {len(text) - len(head) - len(tail):,} characters are left out …\n{tail}"


def _number(value: object) -> float | None:
    """Rounded; None for what JSON has no number for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    rounded = f"{value:.6g}"
    return None if rounded in ("nan", "inf", "-inf") else json.loads(rounded)
