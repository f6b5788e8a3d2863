"""samples.jsonl: what the policy wrote at each step, and what it got for it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from deliberate.training.recording.step_lines import StepLines

FILE_NAME = "samples.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One completion, with the fields of a line."""

    step: int
    prompt: str
    completion: str
    reward: float | None
    """The sum that the policy is trained on; None where nothing could be decided."""
    rewards: Mapping[str, float | None]
    """Of each reward function by itself."""
    advantage: float | None
    finished: bool = True
    """It ended by itself; False where it was cut off."""


class SamplesLog:
    """Appends to a run's samples.jsonl; lines from after the step that a run resumes from are dropped."""

    def __init__(self, folder: Path, *, resumed_step: int) -> None:
        self._lines = StepLines(folder / FILE_NAME, resumed_step=resumed_step)

    def add(self, samples: Iterable[TrainingSample]) -> None:
        """The samples of a step, or some of them."""
        self._lines.add(map(asdict, samples))

    def close(self) -> None:
        self._lines.close()
