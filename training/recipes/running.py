"""Runs a recipe's stages one after the other. The same again goes on where it was killed."""

from collections.abc import Callable, Iterator

from deliberate.training.artifact import Artifact
from deliberate.training.recipes.chain import FILE_NAME, Chain, Link
from deliberate.training.recipes.plan import Plan
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import OtherRun


def run_plan(plan: Plan, reporter: Callable[[Link], Reporter]) -> Iterator[tuple[Link, Artifact]]:
    """Each stage with its result, as soon as it is there; those that had finished are there at once.

    Raises OtherRun for a folder in which another recipe, or the same with other stages, has begun; and what a stage
    raises.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    there = Chain.load(plan.folder)
    if there is not None and there.links != plan.chain.links:
        raise OtherRun(
            f"{plan.folder} holds the recipe {there.name!r} with other stages, as its {FILE_NAME} says; "
            "remove the folder or choose another with --output."
        )
    plan.chain.save(plan.folder)
    for planned in plan.stages:
        yield planned.link, planned.stage.run(planned.config, reporter(planned.link))
