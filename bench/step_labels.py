"""How well step labels find first errors, against the completions that they cost.

Solutions of a policy to held-out word problems are labelled by every method, with more and more completions after a
step, and compared with the labels of the task's exact checker: F1 as ProcessBench has it. Methods share their
completions, which follow from the state and their number alone, so that each is drawn once; what is counted is what a
method asked for.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deliberate.bench.plots import f1_against_completions
from deliberate.engines.protocol import Conversation, Engine, Sample, Sampling
from deliberate.search.evaluation import question_seed
from deliberate.search.templating import prompt_of
from deliberate.training.datasets.generated import problem_rows
from deliberate.training.labelling.agreement import FirstErrors
from deliberate.training.labelling.binary_search import binary_search
from deliberate.training.labelling.completing import EngineCompleter
from deliberate.training.labelling.completions import Completer, Completion
from deliberate.training.labelling.exact import step_checker
from deliberate.training.labelling.labels import Labelled, first_error
from deliberate.training.labelling.monte_carlo import monte_carlo
from deliberate.training.labelling.omega_prm import omega_prm
from deliberate.training.labelling.options import ONE_AT_A_TIME
from deliberate.training.labelling.solutions import Cutter, Solution
from deliberate.training.labelling.states import Prefix, States
from deliberate.training.sampling.engines import EngineConfig, open_engine
from deliberate.training.sampling.groups import Patience
from deliberate.training.sampling.lending import lent_resources
from deliberate.training.sampling.scoring import Scoring
from deliberate.training.tasks import Problem, load_task
from deliberate.verifiers.protocol import Resources, Verdict

METHODS = (
    "monte_carlo",
    "sequential",
    "binary_search",
    "binary_search, check_right",
    "omega_prm",
    "omega_prm, reuse",
    "omega_prm, reuse, check_right",
    "omega_prm, in order, check_right",
)
MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One method at one number of completions."""

    method: str
    num_completions: int
    f1: float
    wrong: float
    """Share of first errors that were found."""
    right: float
    """Share of solutions without errors that were found to have none."""
    solutions: int
    """That were labelled."""
    given: float
    """Share of the policy's that are among them."""
    completions: float
    """For each of these solutions; of monte_carlo as published, where solutions share none."""
    shared: float
    """The same where solutions of one problem share the completions of their common beginnings."""


@dataclass(slots=True)
class Recorded:
    """A completer that draws nothing twice."""

    completer: Completer
    seed: Callable[[Prefix], int]
    known: dict[Prefix, list[Completion]] = field(default_factory=dict[Prefix, list[Completion]])

    async def complete(self, prefix: Prefix, n: int, seed: int) -> list[Completion]:
        known = self.known.setdefault(prefix, [])
        first = seed - self.seed(prefix)
        if (missing := first + n - len(known)) > 0:
            known += await self.completer.complete(prefix, missing, self.seed(prefix) + len(known))
        return known[first : first + n]


@dataclass(slots=True)
class Case:
    """A problem with the policy's solutions."""

    problem: Problem
    solutions: list[Solution]
    completer: Recorded

    def states(self, cut: Cutter, method: str, k: int, budget: int) -> States:
        return States(
            self.completer,
            cut,
            self.completer.seed,
            k,
            until_right=method.startswith(ONE_AT_A_TIME),
            reuse=method.startswith("binary_search") or "reuse" in method,
            check_right="check_right" in method or method == "sequential",
            budget=budget * k if method.startswith("omega_prm") else None,
        )


class Bench:
    """The methods on the same problems, solutions and completions."""

    def __init__(self, cases: Sequence[Case], cut: Cutter, budget: int) -> None:
        self.cases = cases
        self._cut = cut
        self._budget = budget
        self._checker = step_checker(load_task("word_problems"))

    async def row(self, method: str, k: int, done: Callable[[], None]) -> Row:
        """Measure one."""
        states = [case.states(self._cut, method, k, self._budget) for case in self.cases]

        async def label(case: Case, known: States) -> list[Labelled]:
            found = await _labelled(method, case.solutions, known)
            done()
            return found

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(label(*pair)) for pair in zip(self.cases, states, strict=True)]
        found = [(case.problem, one) for case, task in zip(self.cases, running, strict=True) for one in task.result()]
        errors = FirstErrors.of((self.true_error(problem, one.solution), one.first_error) for problem, one in found)
        shared = sum(known.completions for known in states)
        alone = sum(k * (len(one.solution.steps) - one.solution.finished) for _, one in found)
        spent = alone if method == "monte_carlo" else shared
        count, given = len(found), self._given(found)
        return Row(method, k, errors.f1, errors.wrong, errors.right, count, given, spent / count, shared / count)

    def _given(self, found: Sequence[tuple[Problem, Labelled]]) -> float:
        labelled = {(problem.id, one.solution.tokens) for problem, one in found}
        given = {(case.problem.id, solution.tokens) for case in self.cases for solution in case.solutions}
        return len(labelled & given) / len(given)

    def true_error(self, problem: Problem, solution: Solution) -> int | None:
        """Index of the first step that the task says is wrong."""
        return first_error(self._checker.step_labels(problem, solution.steps))

    def lucky(self) -> float:
        """Share of the solutions with a right answer that have an error all the same: answers cannot show it."""
        right = [
            self.true_error(case.problem, one) is not None for case in self.cases for one in case.solutions if one.right
        ]
        return sum(right) / len(right) if right else 0.0


async def _labelled(method: str, solutions: Sequence[Solution], states: States) -> list[Labelled]:
    if method == "monte_carlo":
        return await monte_carlo(solutions, states)
    if method == "sequential":
        return await binary_search(solutions, states, bisect=False)
    if method.startswith("binary_search"):
        return await binary_search(solutions, states)
    return await omega_prm(solutions, states, bisect="in order" not in method)


def main(
    policy: Annotated[str, typer.Argument(help="Model whose solutions are labelled.")] = "tiny",
    *,
    completer: Annotated[str, typer.Option(help="Model that completes them.")] = "tiny-verifier",
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems.")] = 100,
    solutions: Annotated[int, typer.Option(min=1, help="Solutions of each, equal ones counted once.")] = 4,
    completions: Annotated[str, typer.Option(help="Completions after a step, each a point.")] = "1,2,4,8",
    methods: Annotated[str, typer.Option(help="Methods, with semicolons between.")] = ";".join(METHODS),
    budget: Annotated[int, typer.Option(help="Most states of a problem that omega_prm asks about.")] = 24,
    temperature: Annotated[float, typer.Option(help="Of solutions and completions.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Of problems, solutions and completions.")] = 0,
    concurrency: Annotated[int, typer.Option(help="Calls of the completer at once.")] = 32,
    threads: Annotated[int, typer.Option(help="CPU threads of each model.")] = 1,
    save: Annotated[Path | None, typer.Option(help="Write the figures (.json) and the plot (.png beside it).")] = None,
) -> None:
    """Measure F1 of first errors against completions."""
    made = list(load_task("word_problems").problems("test", seed, problems))
    title = f"{policy} labelled by {completer}, {problems} held-out problems, {solutions} solutions, T = {temperature}"
    widths = sorted(map(int, completions.split(",")), reverse=True)

    async def measure() -> tuple[list[Row], float]:
        opening = _opened(policy, completer, threads)
        async with opening as (writer, reader, resources):
            sampling = Sampling(max_tokens=MAX_TOKENS, temperature=temperature)
            turnstile = asyncio.Semaphore(concurrency)
            cases = await _cases(made, solutions, seed, sampling, turnstile, writer, reader, resources)
            bench = Bench(cases, Cutter(reader.tokenizer, resources.step_separator), budget)
            return await _rows(bench, methods.split(";"), widths), bench.lucky()

    rows, lucky = asyncio.run(measure())
    out = Console(width=120)
    out.print(_table(title, rows))
    out.print(f"{100 * lucky:.1f} % of the solutions with a right answer have an error.")
    if save is not None:
        figures: dict[str, Any] = {"title": title, "lucky": lucky, "rows": [asdict(row) for row in rows]}
        save.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        f1_against_completions(rows, title, save.with_suffix(".png"))


@asynccontextmanager
async def _opened(policy: str, completer: str, threads: int) -> AsyncGenerator[tuple[Engine, Engine, Resources], None]:
    """The model that writes, the one that completes, and what judges."""
    config = EngineConfig(model=completer, threads=threads)
    reader = open_engine(config, 1)
    writer = reader if policy == completer else open_engine(EngineConfig(model=policy, threads=threads), 1)
    try:
        async with lent_resources(reader, config) as resources:
            yield writer, reader, resources
    finally:
        for engine in {id(engine): engine for engine in (writer, reader)}.values():
            await engine.close()


async def _cases(
    problems: Sequence[Problem],
    solutions: int,
    seed: int,
    sampling: Sampling,
    turnstile: asyncio.Semaphore,
    writer: Engine,
    reader: Engine,
    resources: Resources,
) -> list[Case]:
    cut, scoring = Cutter(reader.tokenizer, resources.step_separator), Scoring(None, {})

    async def case(problem: Problem) -> Case:
        (row,) = problem_rows([problem])
        prompt = prompt_of(reader, Conversation(row.prompt))

        async def judge(samples: Sequence[Sample]) -> Sequence[Verdict | None]:
            return await scoring.verdicts(row, prompt, samples, resources)

        def completed_by(engine: Engine) -> EngineCompleter:
            return EngineCompleter(engine, prompt.token_ids, sampling, judge, turnstile, Patience())

        drawn = await completed_by(writer).complete((), solutions, question_seed(seed, problem.id))
        found = [one for completion in drawn if (one := cut(completion)) is not None]
        recorded = Recorded(completed_by(reader), lambda prefix: question_seed(seed, f"{problem.id}:{prefix}"))
        return Case(problem, list(dict.fromkeys(found)), recorded)

    return list(await asyncio.gather(*map(case, problems)))


async def _rows(bench: Bench, methods: Sequence[str], widths: Sequence[int]) -> list[Row]:
    console = Console(stderr=True)
    rows = list[Row]()
    with Progress(console=console) as bars:
        for method in methods:
            for k in widths:
                bar = bars.add_task(f"{method}, {k}", total=len(bench.cases))
                rows.append(await bench.row(method, k, lambda bar=bar: bars.advance(bar)))
                console.print(_line(rows[-1]))
    return rows


def _line(row: Row) -> str:
    return f"{row.method}, {row.num_completions}: F1 {row.f1:.3f}, {row.completions:.1f} completions a solution"


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title)
    table.add_column("method")
    for column in ("k", "F1", "errors found", "right found", "solutions", "given", "completions", "shared"):
        table.add_column(column, justify="right")
    for row in rows:
        shares = (f"{value:.3f}" for value in (row.f1, row.wrong, row.right))
        costs = (f"{value:.1f}" for value in (row.completions, row.shared))
        table.add_row(
            row.method, str(row.num_completions), *shares, str(row.solutions), f"{100 * row.given:.0f} %", *costs
        )
    return table


if __name__ == "__main__":
    typer.run(main)
