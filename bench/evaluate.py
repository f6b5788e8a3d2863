"""Strategies on a task: accuracy, tokens and time of each, and accuracy against the number of samples."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Sampling
from deliberate.search.evaluation import Evaluation, Outcome, Question, evaluate
from deliberate.search.recording import RecordingEngine
from deliberate.search.registry import parse_strategy
from deliberate.search.strategy import Strategy
from deliberate.search.transform import PromptTransform
from deliberate.server.serving import ServedModel
from deliberate.training.tasks import Task, as_question
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.workers import WorkerPool

Progress = Callable[[str, int], Callable[[Outcome], None]]
"""From a label and a number of questions to what is told of each outcome."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table."""

    strategy: str
    model: str
    n: int
    accuracy: float
    standard_error: float
    tokens: int
    seconds: float

    @classmethod
    def of(cls, label: str, model: str, n: int, evaluation: Evaluation) -> "Result":
        return cls(
            label, model, n, evaluation.accuracy, evaluation.standard_error, evaluation.tokens, evaluation.seconds
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run measured."""

    results: tuple[Result, ...]
    """Each strategy at full width, sampled anew, so that its seconds are its own."""
    curves: dict[str, list[tuple[int, float]]]
    """Per strategy (n, accuracy), on the samples of the full-width runs."""
    pass_at: dict[int, float]
    """Chance that one of k samples is right: what no choice among k can beat."""


def questions_of(task: Task, split: str, seed: int, limit: int) -> list[Question]:
    """Problems of a task as questions. Raises InvalidRequest for a split that does not exist."""
    try:
        problems = task.problems(split, seed, limit)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise InvalidRequest(str(error), param="split") from error
    return [as_question(task, problem) for problem in problems]


def strategy_of(name: str, n: int) -> Strategy:
    """A strategy by short name, of size n unless the name has its own: `best_of_n@calculator`, `vote-8`."""
    strategy = parse_strategy(name, "strategies")
    has_size = name.partition("@")[0].rpartition("-")[2].replace("x", "").isdigit()
    return strategy if has_size or strategy.slots == 1 else _widened(strategy, n)


def _widened(strategy: Strategy, n: int) -> Strategy:
    return type(strategy).of_size((n,), strategy.verifier_config)


async def measure(
    model: ServedModel,
    questions: Sequence[Question],
    names: Sequence[str],
    n: int,
    sampling: Sampling,
    *,
    transforms: Sequence[PromptTransform] = (),
    concurrency: int,
    progress: Progress,
) -> Report:
    """Every strategy at width n; the verifier model by itself, where there is one; then the curves.

    `concurrency` counts samples in flight. Raises InvalidRequest for a strategy that cannot run.
    """
    strategies = {name: strategy_of(name, n) for name in names}
    recorders = {name: RecordingEngine(engine) for name, engine in model.engines.items()}
    workers = WorkerPool()
    resources = Resources(
        workers,
        recorders,
        policy=model.name,
        scorer=model.scorer and model.scorer.name,
        scorers=model.scorers,
        reward_model=model.reward_model and model.reward_model.name,
        step_separator=model.step_separator,
    )

    async def run(strategy: Strategy, label: str, resources: Resources = resources) -> Evaluation:
        return await evaluate(
            strategy,
            questions,
            resources,
            sampling,
            transforms=transforms,
            default_verifier=model.default_verifier,
            concurrency=max(1, concurrency // strategy.slots),
            done=progress(label, len(questions)),
        )

    try:
        full = {name: await run(strategy, name) for name, strategy in strategies.items()}
        results = [Result.of(name, model.name, strategies[name].slots, full[name]) for name in names]
        if model.scorer is not None:
            alone = await run(parse_strategy("none"), model.scorer.name, replace(resources, policy=model.scorer.name))
            results.append(Result.of("none", model.scorer.name, 1, alone))
        for recorder in recorders.values():
            recorder.replay = True
        curves: dict[str, list[tuple[int, float]]] = {}
        for name, strategy in strategies.items():
            for width in _widths(strategy.slots) if strategy.slots > 1 else []:
                point = await run(_widened(strategy, width), f"{name}, n = {width}")
                curves.setdefault(name, []).append((width, point.accuracy))
    finally:
        workers.close()
    return Report(tuple(results), curves, _ceiling(full.values()))


def _ceiling(evaluations: Iterable[Evaluation]) -> dict[int, float]:
    """pass@k from the evaluation that drew the most samples."""
    most = max(evaluations, key=lambda e: min(len(o.candidates_right) for o in e.outcomes))
    drawn = min(len(o.candidates_right) for o in most.outcomes)
    return {k: most.pass_at(k) for k in _widths(drawn)}


def _widths(n: int) -> list[int]:
    """1, 2, 4, ... and n."""
    return sorted({n, *(2**i for i in range(n.bit_length()) if 2**i <= n)})
