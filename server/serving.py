"""The models a server serves, and how a request's `model` finds one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import EngineStopped, Overloaded, UnknownName
from deliberate.engines.protocol import Engine, TokenScorer
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.protocol import STEP_SEPARATOR, LogprobReader, Resources, VerifierConfig
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool


@dataclass(frozen=True, slots=True)
class Scorer:
    """A companion language model that scores the policy's candidates; verifiers see it, callers do not."""

    name: str
    engine: Engine
    format: str | None = None
    """How it was trained to read chains, where it is known as a generative reward model."""
    reader: LogprobReader | None = None
    """What was trained to read its log-probabilities, where something was."""


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A companion that was trained to score them; likewise."""

    name: str
    scorer: TokenScorer
    format: str | None = None
    """How it was trained to read chains, where that is known."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that answers requests."""

    name: str
    engine: Engine
    created: int = 0
    """When it was loaded, in seconds since 1970."""
    scorer: Scorer | None = None
    reward_model: RewardModel | None = None
    root: str | None = None
    """What it was loaded from, where that is known."""
    step_separator: str = STEP_SEPARATOR
    """What it puts between two steps of an answer."""
    default_verifier: VerifierConfig | None = None
    """Judges where a request's strategy names no verifier."""

    @property
    def engines(self) -> dict[str, Engine]:
        """By name: the model's own, and its scorer's."""
        return {self.name: self.engine} | ({} if self.scorer is None else {self.scorer.name: self.scorer.engine})

    @property
    def readers(self) -> dict[str, LogprobReader]:
        """What reads its scorer's log-probabilities by that one's name, where something does."""
        if self.scorer is None or self.scorer.reader is None:
            return {}
        return {self.scorer.name: self.scorer.reader}

    @property
    def scorers(self) -> dict[str, TokenScorer]:
        """Its reward model by name, where it has one."""
        return {} if self.reward_model is None else {self.reward_model.name: self.reward_model.scorer}

    def check_alive(self) -> None:
        """Raises EngineStopped when the model no longer serves, Overloaded when it will again."""
        for name, engine in [*self.engines.items(), *self.scorers.items()]:
            if isinstance(engine.failure, Overloaded):
                raise engine.failure
            if engine.failure is not None:
                raise EngineStopped(f"The engine of model {name!r} has stopped.") from engine.failure


class Pool:
    """All served models, and what verifiers may use of them."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        workers: WorkerPool,
        sandbox: Sandbox | None = None,
        verifier_seconds: float = 300.0,
        browsers: BrowserPool | None = None,
    ) -> None:
        assert models, "a server serves at least one model"
        self.models = {model.name: model for model in models}
        self._workers = workers
        self._verifier_seconds = verifier_seconds
        self.sandbox = sandbox or Sandbox()
        self._browsers = browsers or BrowserPool()
        self._engines = {name: engine for model in models for name, engine in model.engines.items()}
        self._readers = {name: reader for model in models for name, reader in model.readers.items()}
        self._scorers = {name: scorer for model in models for name, scorer in model.scorers.items()}
        companions = [companion for model in models for companion in (model.scorer, model.reward_model)]
        self._formats = {c.name: c.format for c in companions if c is not None and c.format is not None}

    @property
    def first(self) -> ServedModel:
        """The model of requests that may leave it out."""
        return next(iter(self.models.values()))

    def find(self, name: str) -> tuple[ServedModel, str | None]:
        """The model and the strategy suffix of `name`: the full name is tried first, then `name:suffix`."""
        if name in self.models:
            return self.models[name], None
        base, colon, suffix = name.rpartition(":")
        if colon and base in self.models:
            return self.models[base], suffix
        raise UnknownName("model", name, self.models, param="model", code="model_not_found")

    def find_or_first(self, name: str | None) -> ServedModel:
        """The model of that name, or the first."""
        return self.first if name is None else self.find(name)[0]

    def resources(self, model: ServedModel) -> Resources:
        """What verifiers of a request to `model` may use."""
        scorer = None if model.scorer is None else model.scorer.name
        reward_model = None if model.reward_model is None else model.reward_model.name
        return Resources(
            self._workers,
            self._engines,
            policy=model.name,
            scorer=scorer,
            scorers=self._scorers,
            reward_model=reward_model,
            formats=self._formats,
            readers=self._readers,
            step_separator=model.step_separator,
            sandbox=self.sandbox,
            verifier_seconds=self._verifier_seconds,
            browsers=self._browsers,
        )

    def check_alive(self) -> None:
        """Raises EngineStopped or Overloaded when any engine does not serve."""
        for model in self.models.values():
            model.check_alive()

    async def close(self) -> None:
        """Stop all engines, workers and browsers."""
        for engine in [*self._engines.values(), *self._scorers.values()]:
            await engine.close()
        await self.sandbox.close()
        self._workers.close()
        await asyncio.to_thread(self._browsers.close)
