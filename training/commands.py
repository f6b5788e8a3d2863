"""The `deliberate train` commands. Torch and transformers load when one of them runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from deliberate.training.artifact import Artifact
from deliberate.training.stage_commands import add_stages

app = typer.Typer(help="Train policies and verifiers.", no_args_is_help=True)


add_stages(app)


@app.callback()
def train() -> None:
    """Train policies and verifiers."""


@app.command()
def tiny(
    output: Annotated[Path, typer.Option(help="Folder that receives tiny/ and tiny-verifier/.")] = Path("models"),
    work: Annotated[
        Path, typer.Option(help="Folder of the unfinished runs; the same command started again resumes from it.")
    ] = Path("runs/train-tiny"),
    policy_steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the policy's run; the recipe's by default.")
    ] = None,
    verifier_steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the verifier's run; the recipe's by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights, the data and the held-out problems.")] = 0,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems to measure both models on.")] = 500,
    side_by_side: Annotated[
        bool, typer.Option(help="Train both at once in two processes, or one after the other.")
    ] = True,
) -> None:
    """Make the bundled policy and its verifier again, from nothing, on two CPU cores."""
    from deliberate.training import tiny as recipe

    artifacts = recipe.train_tiny(
        output,
        work=work,
        policy_steps=policy_steps or recipe.POLICY_STEPS,
        verifier_steps=verifier_steps or recipe.VERIFIER_STEPS,
        seed=seed,
        problems=problems,
        side_by_side=side_by_side,
    )
    _show(artifacts, output)


@app.command()
def measure_tiny(
    models: Annotated[Path, typer.Option(help="Folder that holds tiny/ and tiny-verifier/.")] = Path("models"),
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems to measure on.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the problems and of the samples.")] = 0,
) -> None:
    """Measure the bundled pair again and write its figures into the records and cards; the weights stay."""
    from deliberate.training import tiny as recipe

    _show(recipe.measure_tiny(models, problems=problems, seed=seed), models)


@app.command()
def recipe(
    recipe: Annotated[str, typer.Argument(help="A file, or the name of a bundled recipe, such as `r1`.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder that receives a folder for each stage; by default runs/NAME.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A variable of the recipe; repeatable.")
    ] = None,
    smoke: Annotated[bool, typer.Option(help="Take the recipe's small values: all stages, in minutes.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the recipe, and draw it.")] = False,
) -> None:
    """Run a recipe: stages one after the other. The same command goes on where it was killed."""
    from deliberate.training.recipes.command import run_recipe

    run_recipe(recipe, output=output, settings=settings or [], smoke=smoke, check=check)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of a recipe with all its runs.")],
    evals: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="Figures that `deliberate eval` saved; those in the folder are found. Repeatable."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The page; by default report.html in the folder.")] = None,
) -> None:
    """Write a page with the curves, samples and records of runs, and what their results are worth."""
    from deliberate.training.report import write_report

    typer.echo(write_report(folder, evals=evals or [], output=output))


def _show(artifacts: Iterable[Artifact], folder: Path) -> None:
    for artifact in artifacts:
        typer.echo(f"{folder / artifact.name}")
        for name, value in artifact.metrics.items():
            typer.echo(f"  {name:28} {value:g}")
