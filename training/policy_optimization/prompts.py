"""The problems of each step, from a task without end or from datasets mixed by weight; a function of the step alone."""

import random
from collections.abc import Sequence

from deliberate.engines.errors import InvalidRequest
from deliberate.training.datasets import read_dataset
from deliberate.training.datasets.generated import problem_rows
from deliberate.training.datasets.mixing import Mixture, mixture_of
from deliberate.training.datasets.problems import instructed
from deliberate.training.datasets.rows import Row
from deliberate.training.policy_optimization.config import SampledConfig
from deliberate.training.tasks import load_task

_LARGEST_SEED = 2**32


class Prompts:
    """Rows with prompts and verifiers. There are two streams: the steps' own, and spare ones for dynamic sampling."""

    def __init__(self, config: SampledConfig) -> None:
        """Reads the datasets.

        Raises BadData where they cannot be read, InvalidRequest for a task that there is not or that lacks such
        problems.
        """
        self._config = config
        self._mixtures: dict[str, Mixture[Row]] = {}
        if config.task is None:
            datasets = [read_dataset(dataset) for dataset in config.datasets]
            self._mixtures = {
                stream: mixture_of(datasets, Row, _seed(config.seed, stream)) for stream in ("own", "spare")
            }
            self.known: Sequence[Row] = [row for dataset in datasets for row in dataset.rows]
            """All rows there are; of a task the first ones."""
        else:
            self.known = self.of_step(0)

    def of_step(self, step: int) -> list[Row]:
        """The rows of step `step` (from 0); with datasets, each once in an epoch."""
        return self._rows("own", step)

    def spare(self, number: int) -> list[Row]:
        """As many others."""
        return self._rows("spare", number)

    def _rows(self, stream: str, number: int) -> list[Row]:
        count = self._config.problems_per_step
        if self._mixtures:
            rows = self._mixtures[stream].from_position(number * count)
            found: Sequence[Row] = [next(rows) for _ in range(count)]
        else:
            found = self._made(_seed(self._config.seed, f"{stream}:{number}"), count)
        return [instructed(row, self._config.system_prompt) for row in found]

    def _made(self, seed: int, count: int) -> Sequence[Row]:
        try:
            task = load_task(self._config.task or "")
            return problem_rows(task.problems("train", seed, count, self._config.difficulty))
        except (LookupError, ValueError) as error:
            raise InvalidRequest(f"The task cannot make these problems: {error}", param="task") from error


def _seed(seed: int, stream: str) -> int:
    return random.Random(f"prompts:{seed}:{stream}").randrange(_LARGEST_SEED)
