"""The `deliberate train` commands. Torch and transformers load when one of them runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from deliberate.training.artifact import Artifact
from deliberate.training.stage_commands import StageGroup

app = typer.Typer(cls=StageGroup, help="Train policies and verifiers.", no_args_is_help=True)


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


def _show(artifacts: Iterable[Artifact], folder: Path) -> None:
    for artifact in artifacts:
        typer.echo(f"{folder / artifact.name}")
        for name, value in artifact.metrics.items():
            typer.echo(f"  {name:28} {value:g}")
