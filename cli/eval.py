"""`deliberate eval`: strategies on a task, as a table, JSON and a plot."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deliberate.bench.evaluate import Report, measure, questions_of
from deliberate.bench.plots import PlotsMissing, accuracy_curves
from deliberate.cli.prompt_option import PromptOption, read_prompt
from deliberate.cli.terminal import told_plainly
from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Sampling
from deliberate.search.evaluation import Outcome
from deliberate.server.loading import EmbeddedOptions, load_model
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model
from deliberate.server.verifier_settings import default_verifier
from deliberate.training.tasks import Task, load_task, task_names

console = Console(stderr=True, highlight=False)
app = typer.Typer(add_completion=False)

_STRATEGIES = "none,majority_vote,best_of_n,weighted_vote,adaptive_vote"


@app.command()
def evaluate(
    *,
    task: Annotated[str, typer.Option(help=f"Where the problems come from: {', '.join(task_names())}.")],
    split: Annotated[str, typer.Option(help="`test` holds problems no training has seen; or `train`.")] = "test",
    limit: Annotated[int, typer.Option(min=1, help="How many problems.")] = 500,
    difficulty: Annotated[
        str | None, typer.Option(help="Of the problems, comma-separated, such as 2,3; all of the task's by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the problems and the samples; the same seed, the same figures.")] = 0,
    n: Annotated[int, typer.Option("--n", min=1, help="Samples per problem for strategies that take several.")] = 16,
    strategies: Annotated[
        str,
        typer.Option(
            help="Short names, comma-separated; `best_of_n@calculator` names a verifier. Tasks have some of their own: "
            "in python_functions `@code` runs the tests that the problem shows, `@agreement` compares behaviour."
        ),
    ] = _STRATEGIES,
    prompt: PromptOption = None,
    model: Annotated[str, typer.Option(help="A bundled model, a folder or a Hugging Face id.")] = "tiny",
    verifier_model: Annotated[str | None, typer.Option(help="Model that scores the candidates.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="Of all samples.")] = 0.8,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens per sample.")] = 256,
    max_batch: Annotated[int, typer.Option(min=1, help="Samples the engine runs at once.")] = 64,
    output: Annotated[Path, typer.Option(help="Folder for the JSON, the table and the plot.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure strategies on a task: accuracy, tokens and seconds of each, and accuracy against n.

    Every strategy sees the same problems and the same samples; `best_of_n` and `weighted_vote` use the model's own
    verifier unless one is named.

        deliberate eval --task word_problems --limit 500 --seed 1 --n 16
    """
    with told_plainly():
        problems = questions_of(_task(task), split, seed, limit, _numbers(difficulty))
        transforms = read_prompt(prompt)
        names = [name.strip() for name in strategies.split(",") if name.strip()]
        source = find_model(model, companion=verifier_model)
        with console.status(f"Loading {source.path}"):
            loaded = load_model(source, EmbeddedOptions(max_batch=max_batch))
        settings = Settings()
        ready = replace(loaded, default_verifier=default_verifier(settings, loaded))
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
        with _bars() as bars:
            report = asyncio.run(
                measure(
                    ready,
                    problems,
                    names,
                    n,
                    sampling,
                    transforms=transforms,
                    settings=settings,
                    concurrency=2 * max_batch,
                    progress=_bar(bars),
                )
            )
        asked: dict[str, Any] = {"task": task, "split": split, "limit": limit, "seed": seed, "n": n}
        asked |= {
            "difficulty": difficulty,
            "temperature": temperature,
            "prompt": [transform.describe() for transform in transforms],
        }
        written = _save(report, asked | {"model": source.name}, output)
    if as_json:
        typer.echo(json.dumps(_as_json(report, asked), indent=2))
    else:
        Console().print(_table(report, f"{task}/{split}, {limit} problems, seed {seed}, T = {temperature}"))
    if report.ungraded:
        console.print(
            f"{len(report.ungraded)} questions had an answer that could not be graded, and counts as wrong: "
            f"{report.ungraded[0]}",
            style="yellow",
        )
    console.print(f"Saved {', '.join(map(str, written))}")


def _numbers(text: str | None) -> list[int] | None:
    """Raises InvalidRequest for what are no numbers."""
    try:
        return None if text is None else [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no list of numbers such as 2,3.", param="difficulty") from error


def _task(name: str) -> Task:
    if name not in task_names():
        raise UnknownName("task", name, task_names(), param="task")
    return load_task(name)


def _bars() -> Progress:
    columns = [
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[right]}"),
    ]
    return Progress(*columns, TimeElapsedColumn(), console=console)


def _bar(bars: Progress) -> Callable[[str, int], Callable[[Outcome], None]]:
    """A bar per run that also shows the accuracy so far."""

    def start(label: str, total: int) -> Callable[[Outcome], None]:
        bar = bars.add_task(label, total=total, right="")
        right: list[bool] = []

        def done(outcome: Outcome) -> None:
            right.append(outcome.right)
            bars.update(bar, advance=1, right=f"{100 * sum(right) / len(right):.1f} %")

        return done

    return start


def _as_json(report: Report, settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, **asdict(report)}


def _save(report: Report, settings: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{settings['task']}-{settings['model']}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    figures = stem.with_suffix(".json")
    figures.write_text(json.dumps(_as_json(report, settings), indent=2) + "\n", encoding="utf-8")
    picture = stem.with_suffix(".png")
    title = f"{settings['model']} on {settings['task']}/{settings['split']}, {settings['limit']} problems"
    try:
        accuracy_curves(report, title, picture)
    except PlotsMissing as missing:
        console.print(str(missing), style="yellow")
        return [figures]
    return [figures, picture]


def _table(report: Report, title: str) -> Table:
    table = Table(title=title)
    table.add_column("strategy")
    table.add_column("model")
    for column in ("n", "accuracy %", "tokens", "seconds"):
        table.add_column(column, justify="right")
    for row in report.results:
        accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.standard_error:.1f}"
        table.add_row(row.strategy, row.model, str(row.n), accuracy, f"{row.tokens:,}", f"{row.seconds:.1f}")
    for k, value in report.pass_at.items():
        table.add_row("pass@k", "", str(k), f"{100 * value:.1f}", "", "", style="dim")
    return table
