"""`deliberate train recipe`: checks a recipe, draws its chain, and runs it with a bar for each stage."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from deliberate.training.recipes.drawing import draw_chain
from deliberate.training.recipes.library import find_recipe
from deliberate.training.recipes.plan import Plan, read_plan
from deliberate.training.recipes.running import run_plan

console = Console(stderr=True, highlight=False)


def run_recipe(recipe: str, *, output: Path | None, settings: Sequence[str], smoke: bool, check: bool) -> None:
    """Run all stages that have not finished. Raises BadRecipe before the first, where anything is wrong."""
    command = _command(recipe, output, settings, smoke=smoke)
    plan = read_plan(find_recipe(recipe), output=output, settings=settings, smoke=smoke, command=command)
    console.print(draw_chain(plan.chain, plan.folder))
    if check:
        return
    _run(plan)
    console.print(draw_chain(plan.chain, plan.folder))
    console.print(f"A page on all of it: deliberate train report {plan.folder}", markup=False)


def _run(plan: Plan) -> None:
    from deliberate.training.optimization import processes
    from deliberate.training.policies.hub import hide_progress_bars
    from deliberate.training.progress import training_bars

    processes.require_one(f"The recipe {plan.chain.name!r}")
    hide_progress_bars()
    with training_bars() as bars:
        for link, artifact in run_plan(plan, lambda link: bars.reporter(link.folder)):
            figures = ", ".join(f"{name} {value:g}" for name, value in artifact.metrics.items())
            console.print(f"{link.folder}: {figures}", markup=False)


def _command(recipe: str, output: Path | None, settings: Sequence[str], *, smoke: bool) -> str:
    options = [] if output is None else ["--output", str(output)]
    options += [option for setting in settings for option in ("--set", setting)]
    return shlex.join(["deliberate", "train", "recipe", recipe, *options, *(["--smoke"] if smoke else [])])
