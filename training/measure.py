"""How well the bundled pair does on held-out problems, each model by itself and both together.

The figures are those that decide whether a verifier helps: single samples, majority of n, what choosing by the
verifier gains on it, and the within-problem AUC. (A verifier can reach a high overall AUC by knowing which problems
are hard; that chooses nothing.) They are the figures of `deliberate eval` with the same seed.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from deliberate.engines.protocol import Sampling
from deliberate.engines.transformers import load
from deliberate.search.evaluation import Evaluation, Outcome, evaluate
from deliberate.search.recording import RecordingEngine
from deliberate.search.registry import parse_strategy
from deliberate.training.reward_models import measures
from deliberate.training.reward_models.measures import JudgedAnswers
from deliberate.training.tasks import Problem, as_question
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.workers import WorkerPool

_IN_FLIGHT = 128
"""Samples asked for at once: twice what the engine runs at once, so that it never waits."""
_MAX_TOKENS = 256
_EXAMPLES = 32
"""Problems among which an example for the card is looked for."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one model."""

    metrics: dict[str, float]
    """Shares in per cent, and the AUC from 0 to 1."""
    example: Problem | None
    """The first problem that it solves at temperature 0; None where it solves none of the first ones."""


async def measure_pair(
    policy: Path, verifier: Path, problems: Sequence[Problem], *, n: int, temperature: float, seed: int
) -> tuple[Measured, Measured]:
    """Policy with verifier, then the verifier alone; `n` samples of each problem, drawn once for all strategies."""
    sampling = Sampling(temperature=temperature, max_tokens=_MAX_TOKENS, seed=seed)
    async with AsyncExitStack() as stack:
        engines = dict[str, RecordingEngine]()
        for name, folder in (("policy", policy), ("verifier", verifier)):
            engines[name] = RecordingEngine(load(str(folder)), replay=True)
            stack.push_async_callback(engines[name].close)
        workers = WorkerPool()
        stack.callback(workers.close)
        bench = _Bench(problems, Resources(workers, engines), stack.enter_context(Progress()))
        return (
            Measured(await _together(bench, sampling, n), await bench.example("policy")),
            Measured(await _alone(bench, sampling), await bench.example("verifier")),
        )


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every strategy is tried on."""

    problems: Sequence[Problem]
    resources: Resources
    bars: Progress

    async def run(
        self, strategy: str, sampling: Sampling, policy: str = "policy", limit: int | None = None
    ) -> Evaluation:
        """A strategy, by short name, on the first `limit` problems."""
        parsed = parse_strategy(strategy)
        questions = [as_question(problem) for problem in self.problems[:limit]]
        bar = self.bars.add_task(f"{policy}: {strategy}", total=len(questions))
        return await evaluate(
            parsed,
            questions,
            replace(self.resources, policy=policy, scorer="verifier"),
            sampling,
            concurrency=max(1, _IN_FLIGHT // parsed.slots),
            done=lambda _: self.bars.advance(bar),
        )

    async def example(self, policy: str) -> Problem | None:
        greedy = await self.run("none", Sampling(temperature=0, max_tokens=_MAX_TOKENS), policy, _EXAMPLES)
        return next((p for p, outcome in zip(self.problems, greedy.outcomes, strict=False) if outcome.right), None)


async def _together(bench: _Bench, sampling: Sampling, n: int) -> dict[str, float]:
    # This one comes first because it draws all samples, and the verifier scores while the policy goes on.
    best = await bench.run(f"best-of-{n}@likelihood", sampling)
    vote = await bench.run(f"vote-{n}", sampling)
    weighted = await bench.run(f"weighted-vote-{n}@likelihood", sampling)
    calculated = await bench.run(f"best-of-{n}@calculator", sampling)
    return {
        "pass@1": _percent(best.pass_at(1)),
        f"pass@{n}": _percent(best.pass_at(n)),
        f"majority@{n}": _percent(vote.accuracy),
        f"best_of_{n}_verifier": _percent(best.accuracy),
        f"weighted_vote_{n}_verifier": _percent(weighted.accuracy),
        f"best_of_{n}_calculator": _percent(calculated.accuracy),
        "within_problem_auc": round(within_problem_auc(best.outcomes), 3),
    }


async def _alone(bench: _Bench, sampling: Sampling) -> dict[str, float]:
    return {"pass@1": _percent((await bench.run("none", sampling, "verifier")).accuracy)}


def _percent(share: float) -> float:
    return round(100 * share, 1)


def within_problem_auc(outcomes: Sequence[Outcome]) -> float:
    """How often the verifier puts a right candidate above a wrong one of the same problem."""
    return measures.within_problem_auc([JudgedAnswers(o.scores, o.candidates_right) for o in outcomes])
