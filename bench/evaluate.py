"""Strategies on a task: accuracy, tokens and time of each, and accuracy against the number of samples."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Sampling
from deliberate.search.evaluation import Evaluation, Outcome, Question, evaluate
from deliberate.search.recording import RecordingEngine
from deliberate.search.registry import parse_strategy
from deliberate.search.strategy import Strategy
from deliberate.search.transform import PromptTransform
from deliberate.server.serving import Pool, ServedModel
from deliberate.server.settings import Settings
from deliberate.training.tasks import Task, as_question
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.registry import VERIFIERS
from deliberate.verifiers.sandbox.sandbox import Sandbox
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
    curve_tokens: dict[str, list[int]]
    """Generated for each point of `curves`, over all questions."""
    pass_at: dict[int, float]
    """Chance that one of k samples is right: what no choice among k can beat."""
    ungraded: tuple[str, ...]
    """Why questions had an answer that could not be graded, which counts as wrong: one reason for each."""


def questions_of(task: Task, split: str, seed: int, limit: int, difficulty: Sequence[int] | None) -> list[Question]:
    """Problems of a task as questions. Raises InvalidRequest for a split or a difficulty that does not exist."""
    try:
        problems = task.problems(split, seed, limit, difficulty)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise InvalidRequest(str(error), param="split") from error
    return list(map(as_question, problems))


@dataclass(frozen=True, slots=True)
class Contender:
    """A strategy, and whom it asks about candidates."""

    strategy: Strategy
    hint: str | None = None
    """The name of a verifier that each question has of its own; None for the strategy's or the model's."""

    def of_width(self, n: int) -> "Contender":
        return replace(self, strategy=type(self.strategy).of_size((n,), self.strategy.verifier_config))


def contender_of(name: str, n: int, hints: Collection[str] = ()) -> Contender:
    """A strategy by short name, of size n unless the name has its own: `best_of_n@calculator`, `vote-8`.

    After `@` a question's own verifiers (`hints`) go before kinds of the same name. Raises UnknownName, InvalidRequest.
    """
    short, _, verifier = name.partition("@")
    if verifier and verifier not in {*hints, *VERIFIERS}:
        raise UnknownName("verifier", verifier, {*hints, *VERIFIERS}, param="strategies")
    contender = Contender(parse_strategy(short if verifier in hints else name, "strategies"))
    if verifier in hints:
        contender = replace(contender, hint=verifier)
    has_size = short.rpartition("-")[2].replace("x", "").isdigit()
    return contender if has_size or contender.strategy.slots == 1 else contender.of_width(n)


async def measure(
    model: ServedModel,
    questions: Sequence[Question],
    names: Sequence[str],
    n: int,
    sampling: Sampling,
    *,
    transforms: Sequence[PromptTransform] = (),
    settings: Settings,
    concurrency: int,
    progress: Progress,
) -> Report:
    """Every strategy at width n; the verifier model by itself, where there is one; then the curves.

    `settings` say what boxes and browsers may do; `concurrency` counts samples in flight. Raises InvalidRequest for a
    strategy that cannot run.
    """
    contenders = {name: contender_of(name, n, questions[0].hints if questions else ()) for name in names}
    recorders = {name: RecordingEngine(engine) for name, engine in model.engines.items()}
    async with _lent(model, settings) as lent:
        resources = replace(lent, engines=recorders)

        async def run(contender: Contender, label: str, resources: Resources = resources) -> Evaluation:
            return await evaluate(
                contender.strategy,
                questions,
                resources,
                sampling,
                transforms=transforms,
                default_verifier=model.default_verifier,
                hint=contender.hint,
                concurrency=max(1, concurrency // contender.strategy.slots),
                done=progress(label, len(questions)),
            )

        full = {name: await run(contender, name) for name, contender in contenders.items()}
        results = [Result.of(name, model.name, contenders[name].strategy.slots, full[name]) for name in names]
        if model.scorer is not None:
            scorer = model.scorer.name
            alone = await run(Contender(parse_strategy("none")), scorer, replace(resources, policy=scorer))
            results.append(Result.of("none", scorer, 1, alone))
        for recorder in recorders.values():
            recorder.replay = True
        curves: dict[str, list[tuple[int, float]]] = {}
        curve_tokens: dict[str, list[int]] = {}
        for name, contender in contenders.items():
            slots = contender.strategy.slots
            for width in _widths(slots) if slots > 1 else []:
                point = await run(contender.of_width(width), f"{name}, n = {width}")
                curves.setdefault(name, []).append((width, point.accuracy))
                curve_tokens.setdefault(name, []).append(point.tokens)
    ungraded = tuple(o.ungraded for evaluation in full.values() for o in evaluation.outcomes if o.ungraded)
    return Report(tuple(results), curves, curve_tokens, _ceiling(full.values()), ungraded)


@asynccontextmanager
async def _lent(model: ServedModel, settings: Settings) -> AsyncGenerator[Resources]:
    """What its verifiers may use."""
    workers, sandbox = WorkerPool(), Sandbox(settings.sandbox)
    browsers = BrowserPool(settings.browsers, contained=not settings.browser_unsafe, node_modules=settings.node_modules)
    try:
        yield Pool([model], workers, sandbox, browsers=browsers).resources(model)
    finally:
        await sandbox.close()
        browsers.close()
        workers.close()


def _ceiling(evaluations: Iterable[Evaluation]) -> dict[int, float]:
    """pass@k from the evaluation that drew the most samples."""
    most = max(evaluations, key=lambda e: min(len(o.candidates_right) for o in e.outcomes))
    drawn = min(len(o.candidates_right) for o in most.outcomes)
    return {k: most.pass_at(k) for k in _widths(drawn)}


def _widths(n: int) -> list[int]:
    """1, 2, 4, ... and n."""
    return sorted({n, *(2**i for i in range(n.bit_length()) if 2**i <= n)})
