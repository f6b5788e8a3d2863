"""What stages have in common that ask a model and change none: their configuration, and what they open."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from deliberate.engines.protocol import Engine
from deliberate.training.data_run import data_parents
from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.datasets.rows import Row
from deliberate.training.sampling.engines import HOW_IT_RUNS, open_engine, parents
from deliberate.training.sampling.lending import lent_resources
from deliberate.training.sampling.options import RolloutsOptions
from deliberate.training.sampling.scoring import Scoring
from deliberate.training.stages._protocol import StageConfig
from deliberate.verifiers.protocol import Resources


class AskingConfig(RolloutsOptions, StageConfig):
    """A run of such a stage."""

    no_effect: ClassVar[frozenset[str]] = StageConfig.no_effect | {
        "skip_refused",
        "concurrency",
        "max_retries",
        "retry_seconds",
        "logging_steps",
    }

    def portable(self) -> dict[str, Any]:
        """Without how models run; those in this process are known by their weights instead."""
        config = super().portable()
        models = {name: config[name] for name in ("engine", "verifier_model") if config[name] is not None}
        return config | {name: _said_by(model) for name, model in models.items()}

    def parents(self, *others: DatasetConfig) -> dict[str, str]:
        """Data, others too, and the models of this process, as artifacts name what they come from."""
        return {
            **data_parents((*self.datasets, *others)),
            **parents(self.engine),
            **parents(self.verifier_model),
        }

    @property
    def problems(self) -> str:
        """Where they are from, for the record."""
        return ", ".join(data.source for data in self.datasets) if self.task is None else self.task.name


@dataclass(frozen=True, slots=True)
class Opened:
    """The model that is asked, and what scores it."""

    engine: Engine
    resources: Resources
    scoring: Scoring


@asynccontextmanager
async def opened(config: AskingConfig, rows: Iterable[Row]) -> AsyncGenerator[Opened, None]:
    """What the configuration names, until this is left.

    Raises BadData for a row that has no verifier that can be built, and what `open_engine` raises.
    """
    async with AsyncExitStack() as stack:
        engine = await asyncio.to_thread(open_engine, config.engine, config.concurrency)
        stack.push_async_callback(engine.close)
        resources = await stack.enter_async_context(
            lent_resources(engine, config.engine, config.verifier_model, concurrency=config.concurrency)
        )
        scoring = Scoring(config.verifier, config.fill)
        scoring.check(rows, resources)
        yield Opened(engine, resources, scoring)


def _said_by(model: dict[str, Any]) -> dict[str, Any]:
    """What decides what the model says, beside its weights."""
    place = HOW_IT_RUNS if model["base_url"] is not None else HOW_IT_RUNS | {"model"}
    return {name: value for name, value in model.items() if name not in place}
