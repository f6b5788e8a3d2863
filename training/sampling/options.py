"""What is sampled, by whom, and how it is scored. Names are TRL's where it has one."""

from typing import Any, Self

from pydantic import Field, model_validator

from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.datasets.problems import TaskConfig
from deliberate.training.sampling.book import REFUSED
from deliberate.training.sampling.drawing import SamplingOptions
from deliberate.training.sampling.engines import EngineConfig


class RolloutsOptions(SamplingOptions[int | None]):
    """What is sampled, by whom, and how it is scored."""

    engine: EngineConfig = Field(description="The model that answers.")
    datasets: tuple[DatasetConfig, ...] = Field(default=(), description="Problems of files; or give a task.")
    task: TaskConfig | None = Field(default=None, description="Problems that a task makes; or give datasets.")
    system_prompt: str | None = Field(
        default=None, description="Opens the conversations that have no system message of their own."
    )
    num_generations: int = Field(default=8, gt=0, description="Completions of each problem.")
    max_completion_length: int | None = Field(
        default=None, gt=0, description="Most tokens of a completion; None fills the model's context."
    )
    verifier: Any = Field(
        default=None,
        description="Scores all completions: a kind, a config, or a list of configs, as in a request. None: each "
        "row's own, or the comparison with its answer. `none` scores nothing.",
    )
    fill: dict[str, str] = Field(
        default={}, description="Options of the verifier that stand in the rows: option to field, as {answer: answer}."
    )
    verifier_model: EngineConfig | None = Field(
        default=None, description="The model that scores, for the verifiers likelihood, reward_model and judge."
    )
    skip_refused: bool = Field(
        default=False, description=f"Leave out problems that the engine refuses, and list them in {REFUSED}."
    )
    concurrency: int = Field(default=128, gt=0, description="Completions on their way at once.")
    max_retries: int = Field(
        default=4, ge=0, description="Times that completions which a server lost are asked for again."
    )
    retry_seconds: float = Field(
        default=2.0, gt=0, description="Pause before the first of these; it doubles each time, up to a minute."
    )
    logging_steps: int = Field(default=10, gt=0, description="A line of metrics.jsonl covers this many problems.")

    @model_validator(mode="after")
    def _problems(self) -> Self:
        if (self.task is None) == (not self.datasets):
            raise ValueError("give a task, or datasets")
        return self
