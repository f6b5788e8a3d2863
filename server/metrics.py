"""Prometheus metrics of one server, in a registry of its own."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deliberate.search.events import Event, Streamed
from deliberate.search.log import CandidateRecord, Log
from deliberate.server.admission import Admission
from deliberate.server.serving import Pool
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Verdict, Verifier

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters and histograms, labelled by model; levels are read when they are asked for."""

    def __init__(self, pool: Pool, admission: Admission) -> None:
        self.registry = CollectorRegistry()
        self._gauges(pool, admission)
        self.first_token = self._histogram("time_to_first_token_seconds", "From arrival to the answer's first token")
        self.inter_token = self._histogram("inter_token_latency_seconds", "Between tokens of a streamed choice")
        self.latency = self._histogram("e2e_request_latency_seconds", "From arrival to the end of the answer")
        self.queue_time = self._histogram("request_queue_time_seconds", "From arrival to the start of the search")
        self.verifier_time = self._histogram("verifier_seconds", "One call of a verifier", "verifier")
        self.verdicts = self._counter("verdicts", "Verdicts by whether anything was decided", "verifier", "status")
        self.success = self._counter("request_success", "Requests that were answered", "strategy")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of answered requests")
        self.generation_tokens = self._counter("generation_tokens", "Tokens of all candidates of answered requests")
        self.candidates = self._counter("candidates", "Candidates by what became of them", "status")
        self.steps = self._counter("steps", "Steps that searches over steps have drawn")
        self.limits = self._counter("budget_limits_reached", "Searches that a limit of their budget ended", "limit")
        self.early_stops = self._counter("early_stops", "Searches that ended before all their candidates had")
        self.tokens_saved = self._counter("tokens_saved", "Tokens that early stops saved, by the mean of the rest")

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauges(self, pool: Pool, admission: Admission) -> None:
        self._gauge("requests_running", "Admitted requests").set_function(lambda: admission.requests)
        self._gauge("slots_in_use", "Candidates of admitted requests").set_function(lambda: admission.slots_in_use)
        running = self._gauge("sequences_running", "Sequences in the engine's batch", "model")
        waiting = self._gauge("sequences_waiting", "Sequences waiting for the engine", "model")
        for model in pool.models.values():
            for name, engine in [*model.engines.items(), *model.scorers.items()]:
                running.labels(name).set_function(lambda engine=engine: engine.stats.running)
                waiting.labels(name).set_function(lambda engine=engine: engine.stats.waiting)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"deliberate_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"deliberate_{name}", text, ("model", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"deliberate_{name}", text, ("model", *labels), registry=self.registry, buckets=_SECONDS)


class Meter:
    """Measures one request."""

    def __init__(self, metrics: Metrics, model: str, arrived: float) -> None:
        self._metrics = metrics
        self._model = model
        self._arrived = arrived
        self._last_token: dict[int, float] = {}
        self.verifier_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Since the request arrived."""
        return perf_counter() - self._arrived

    def started(self) -> None:
        """The search begins."""
        self._metrics.queue_time.labels(self._model).observe(self.seconds)

    def saw(self, event: Event) -> None:
        """One event of the search."""
        if not isinstance(event, Streamed):
            return
        new_tokens = len(event.delta.token_ids) + event.delta.unseen_tokens
        if new_tokens < 1:
            return
        now = perf_counter()
        if not self._last_token:
            self._metrics.first_token.labels(self._model).observe(self.seconds)
        if (last := self._last_token.get(event.index)) is not None:
            self._metrics.inter_token.labels(self._model).observe((now - last) / new_tokens)
        self._last_token[event.index] = now

    def answered(self, strategy: str, width: int, prompt_tokens: int, log: Log) -> None:
        """The search is over."""
        metrics, model = self._metrics, self._model
        if not self._last_token:
            metrics.first_token.labels(model).observe(self.seconds)
        metrics.latency.labels(model).observe(self.seconds)
        metrics.success.labels(model, strategy).inc()
        metrics.prompt_tokens.labels(model).inc(prompt_tokens)
        metrics.generation_tokens.labels(model).inc(log.completion_tokens)
        for candidate in log.candidates:
            metrics.candidates.labels(model, candidate.status).inc()
        if log.limit is not None:
            metrics.limits.labels(model, log.limit).inc()
        if log.steps is not None:
            metrics.steps.labels(model).inc(log.steps.drawn)
        elif (saved := tokens_saved(width, log.candidates)) is not None:
            metrics.early_stops.labels(model).inc()
            metrics.tokens_saved.labels(model).inc(saved)

    def judged(self, kind: str, verdicts: Sequence[Verdict]) -> None:
        """What a verifier said."""
        for verdict in verdicts:
            self._metrics.verdicts.labels(self._model, kind, verdict.status).inc()

    @contextmanager
    def verifying(self, kind: str) -> Generator[None]:
        """Around one call of a verifier."""
        start = perf_counter()
        try:
            yield
        finally:
            seconds = perf_counter() - start
            self.verifier_seconds += seconds
            self._metrics.verifier_time.labels(self._model, kind).observe(seconds)


class MeasuredVerifier:
    """A verifier whose calls are measured."""

    def __init__(self, verifier: Verifier, kind: str, meter: Meter) -> None:
        self._verifier = verifier
        self._kind = kind
        self._meter = meter

    @property
    def judges(self) -> Judges:
        return self._verifier.judges

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        with self._meter.verifying(self._kind):
            verdicts = await self._verifier.verify(problem, candidates)
        self._meter.judged(self._kind, verdicts)
        return verdicts


def tokens_saved(width: int, candidates: Sequence[CandidateRecord]) -> float | None:
    """What the candidates that did not end would have cost at the mean of those that did; None if all ended."""
    ended = [c.tokens for c in candidates if c.status in ("finished", "truncated")]
    failed = sum(c.status == "failed" for c in candidates)
    missing = width - len(ended) - failed
    if missing <= 0 or not ended:
        return None
    spent = sum(c.tokens for c in candidates if c.status == "cancelled")
    return max(0.0, missing * sum(ended) / len(ended) - spent)
