"""Accuracy of every strategy against the tokens it spends, with what its verifier read and how long it took.

Strategies are compared at equal budgets: a budget is what weighted best-of-N spends at some N, and of each strategy the
largest size counts whose mean spending stays within it. Nothing is interpolated.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deliberate.bench.plots import accuracy_against_tokens
from deliberate.engines.protocol import Engine, RunningModel, Sampling
from deliberate.search.evaluation import Evaluation, Question, evaluate
from deliberate.search.registry import parse_strategy
from deliberate.server.loading import EmbeddedOptions, load_model
from deliberate.server.serving import Pool, ServedModel
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model
from deliberate.server.verifier_settings import default_verifier
from deliberate.training.tasks import as_question, load_task
from deliberate.verifiers.workers import WorkerPool

REFERENCE = "weighted-vote"
"""Whose spending sets the budgets."""
SIZES: Mapping[str, Sequence[str]] = {
    "vote": ("8", "16"),
    "best-of": ("8", "16"),
    "weighted-vote": ("8", "16"),
    "beam": ("2x4", "2x8"),
    "dvts": ("8x8", "16x8"),
    "rebase": ("8", "16"),
    "particles": ("8", "16"),
    "mcts": ("1x8", "1x16", "3x4", "5x4"),
    "tot": ("2x4", "2x8"),
}
"""Short names that are measured, by alias."""
HARD = (5, 6, 7)
"""Step counts of the hard split."""


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one size; tokens are means per problem."""

    strategy: str
    size: str
    accuracy: float
    standard_error: float
    tokens: float
    """Generated, whatever became of them."""
    prefill_tokens: float
    """Read by the generator."""
    scorer_tokens: float
    """Read by the model that scores."""
    seconds: float
    """Wall time of all problems."""


class Bench:
    """The strategies on the same problems, sampled with the same seeds."""

    def __init__(self, model: ServedModel, questions: Sequence[Question], sampling: Sampling, concurrency: int) -> None:
        self.questions = questions
        self._model = model
        self._sampling = sampling
        self._concurrency = concurrency
        self._workers = WorkerPool()
        self._pool = Pool([model], self._workers)

    async def row(self, alias: str, size: str, done: Callable[[], None]) -> Row:
        """Measure one."""
        strategy = parse_strategy(f"{alias}-{size}")
        before = self._read()
        evaluation = await evaluate(
            strategy,
            self.questions,
            self._pool.resources(self._model),
            self._sampling,
            default_verifier=self._model.default_verifier,
            concurrency=max(1, self._concurrency // strategy.slots),
            done=lambda _: done(),
        )
        after = self._read()
        return self._row(alias, size, evaluation, [b - a for a, b in zip(before, after, strict=True)])

    def _read(self) -> list[int]:
        """Tokens read so far: by the generator, by the scorer."""
        return [_prefilled(self._model.engine), sum(map(_prefilled, self._scorers()))]

    def _scorers(self) -> list[RunningModel]:
        scorer: list[Engine] = [] if self._model.scorer is None else [self._model.scorer.engine]
        return [*scorer, *self._model.scorers.values()]

    def _row(self, alias: str, size: str, evaluation: Evaluation, read: Sequence[int]) -> Row:
        problems = len(self.questions)
        return Row(
            alias,
            size,
            evaluation.accuracy,
            evaluation.standard_error,
            evaluation.tokens / problems,
            read[0] / problems,
            read[1] / problems,
            evaluation.seconds,
        )

    async def close(self) -> None:
        await self._pool.close()


def _prefilled(model: RunningModel) -> int:
    return model.stats.prefill_tokens_total


def at_equal_budgets(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """By the reference's size: of each strategy the largest that spends no more on average."""
    return {
        reference.size: [
            max(fitting, key=lambda row: row.tokens)
            for alias in dict.fromkeys(row.strategy for row in rows)
            if (fitting := [row for row in rows if row.strategy == alias and row.tokens <= reference.tokens * 1.001])
        ]
        for reference in rows
        if reference.strategy == REFERENCE
    }


def main(
    model: Annotated[str, typer.Argument(help="Model folder or bundled model.")] = "tiny",
    *,
    verifier_model: Annotated[str | None, typer.Option(help="Model that scores, instead of its companion.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Default verifier: a kind or JSON.")] = None,
    strategies: Annotated[str, typer.Option(help="Aliases to measure.")] = ",".join(SIZES),
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems.")] = 300,
    difficulty: Annotated[str, typer.Option(help="Step counts of the problems.")] = ",".join(map(str, HARD)),
    temperature: Annotated[float, typer.Option(help="Of all strategies.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Of the problems and the samples.")] = 0,
    concurrency: Annotated[int, typer.Option(help="Samples in flight.")] = 128,
    save: Annotated[Path | None, typer.Option(help="Write the figures (.json) and the plot (.png beside it).")] = None,
) -> None:
    """Measure the strategies at equal budgets."""
    console = Console(stderr=True)
    task = load_task("word_problems")
    held_out = task.problems("test", seed, problems, [int(steps) for steps in difficulty.split(",")])
    questions = list(map(as_question, held_out))
    aliases = [alias.strip() for alias in strategies.split(",")]
    served = load_model(find_model(model, companion=verifier_model), EmbeddedOptions())
    settings = Settings() if verifier is None else Settings(verifier=verifier)
    ready = _with_verifier(served, settings)
    sampling = Sampling(temperature=temperature, max_tokens=256, seed=seed)
    rows = asyncio.run(_measure(Bench(ready, questions, sampling, concurrency), aliases, console))
    budgets = at_equal_budgets(rows)
    title = f"{model}, {problems} held-out problems of {difficulty} steps, T = {temperature}"
    out = Console()
    out.print(_table(f"All sizes: {title}", rows))
    for size, fitting in budgets.items():
        out.print(_table(f"Within the tokens of {REFERENCE}-{size}", fitting))
    if save is not None:
        figures: dict[str, Any] = {"title": title, "seed": seed, "rows": [asdict(row) for row in rows]}
        save.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        accuracy_against_tokens(rows, title, save.with_suffix(".png"))


def _with_verifier(served: ServedModel, settings: Settings) -> ServedModel:
    return replace(served, default_verifier=default_verifier(settings, served))


async def _measure(bench: Bench, aliases: Sequence[str], console: Console) -> list[Row]:
    rows: list[Row] = []
    try:
        with Progress(console=console) as bars:
            for alias in aliases:
                for size in SIZES[alias]:
                    bar = bars.add_task(f"{alias}-{size}", total=len(bench.questions))
                    rows.append(await bench.row(alias, size, lambda bar=bar: bars.advance(bar)))
                    console.print(_line(rows[-1]))
    finally:
        await bench.close()
    return rows


def _line(row: Row) -> str:
    accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.standard_error:.1f} %"
    return f"{row.strategy}-{row.size}: {accuracy}, {row.tokens:.0f} tokens, {row.seconds:.0f} s"


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title)
    table.add_column("strategy")
    for column in ("accuracy %", "tokens", "prefill", "scorer tokens", "seconds"):
        table.add_column(column, justify="right")
    for row in rows:
        accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.standard_error:.1f}"
        read = (f"{tokens:,.0f}" for tokens in (row.tokens, row.prefill_tokens, row.scorer_tokens))
        table.add_row(f"{row.strategy}-{row.size}", accuracy, *read, f"{row.seconds:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
