"""How well judges tell a policy's right answers from its wrong ones, and where they see the first error.

All judge the same answers to held-out word problems, as they are served. Beside them stands who knows which steps are
right, and nothing else: some right answers have wrong steps that were made good, and nobody who judges steps alone can
put these above wrong ones.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.problems import TaskConfig
from deliberate.training.datasets.rows import RolloutRow, StepwiseRow
from deliberate.training.labelling.exact import step_checker
from deliberate.training.reward_models.measures import JudgedAnswers, answer_figures
from deliberate.training.reward_models.measuring import judged_answers, measure_verifier
from deliberate.training.sampling.engines import EngineConfig
from deliberate.training.sampling.lending import lent_resources
from deliberate.training.stages import rollouts
from deliberate.training.stages.rollouts import RolloutsConfig
from deliberate.training.tasks import Problem, load_task
from deliberate.training.tasks._steps import StepChecker
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.steps import split_steps

TASK = "word_problems"
SEPARATOR = "\n"
JUDGES = "tiny-verifier@min,tiny-verifier@sum,tiny-orm,tiny-prm"
EXACT = "exact labels of steps"

Figures = Mapping[str, float]


def main(
    policy: Annotated[str, typer.Argument(help="Model whose answers are judged.")] = "tiny",
    *,
    judges: Annotated[str, typer.Option(help="Models, with commas between; `@min` asks for that aggregate.")] = JUDGES,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems.")] = 300,
    n: Annotated[int, typer.Option("--n", min=2, help="Answers to each.")] = 16,
    temperature: Annotated[float, typer.Option(help="Of the answers.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Of problems and answers.")] = 0,
    save: Annotated[Path | None, typer.Option(help="Write the figures (.json).")] = None,
) -> None:
    """Measure judges on the same answers."""
    task = TaskConfig(name=TASK, count=problems, split="test", seed=seed)
    answered = _answers(policy, task, n, temperature)
    made = {problem.id: problem for problem in load_task(TASK).problems("test", seed, problems)}
    checker = step_checker(load_task(TASK))
    first = [_labelled(row, made[row.id], checker) for row in answered]
    rows: dict[str, Figures] = {EXACT: answer_figures([_by_steps(row, made[row.id], checker) for row in answered])}
    for name in track(judges.split(","), "judging", console=Console(stderr=True)):
        rows[name] = asyncio.run(_measured(name, answered, first))
    title = f"{n} answers of {policy} to each of {problems} held-out problems, T = {temperature}"
    Console(width=110).print(_table(title, rows))
    if save is not None:
        save.write_text(json.dumps({"title": title, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def _answers(policy: str, task: TaskConfig, n: int, temperature: float) -> Sequence[RolloutRow]:
    with TemporaryDirectory() as folder:
        config = RolloutsConfig(
            name="answers",
            output_dir=Path(folder) / "answers",
            engine=EngineConfig(model=policy),
            task=task,
            num_generations=n,
            temperature=temperature,
            max_completion_length=256,
            seed=task.seed,
        )
        rollouts.run(config)
        data = DatasetConfig(format="rollouts", source=str(config.output_dir / "data.jsonl"))
        return read_dataset(data).of(RolloutRow)


def _labelled(row: RolloutRow, problem: Problem, checker: StepChecker) -> StepwiseRow:
    """The first answer, with the labels of its steps."""
    steps = split_steps(row.samples[0].text, SEPARATOR)
    labels = tuple(map(float, checker.step_labels(problem, steps)))
    return StepwiseRow(id=row.id, place=row.place, prompt=row.prompt, steps=tuple(steps), labels=labels)


def _by_steps(row: RolloutRow, problem: Problem, checker: StepChecker) -> JudgedAnswers:
    """1 where all steps are right, else 0."""
    known = row.scored
    right = [all(checker.step_labels(problem, split_steps(sample.text, SEPARATOR))) for sample in known]
    return judged_answers(known, list(map(float, right)))


async def _measured(name: str, answered: Sequence[RolloutRow], labelled: Sequence[StepwiseRow]) -> Figures:
    model, _, rule = name.partition("@")
    async with lent_resources(judge=EngineConfig(model=model)) as lent:
        config = {"kind": "likelihood"} if lent.reward_model is None else {"kind": "reward_model", "steps": True}
        verifier = parse_verifier(config | ({"aggregate": rule} if rule else {}))
        built = verifier.build(replace(lent, step_separator=SEPARATOR))
        return await measure_verifier(built, answered, labelled, step_separator=SEPARATOR)


def _table(title: str, rows: Mapping[str, Figures]) -> Table:
    table = Table(title=title)
    for column in ("judge", "best of n %", "weighted vote %", "AUC within problems", "F1 of first errors"):
        table.add_column(column, justify="left" if column == "judge" else "right")
    base = next(iter(rows.values()))
    table.add_row("single answer", f"{100 * base['pass@1']:.1f}", "", "", "")
    table.add_row("majority", f"{100 * base['majority']:.1f}", "", "", "", end_section=True)
    for name, figures in rows.items():
        f1 = figures.get("first_error_f1")
        shares = [f"{100 * figures[key]:.1f}" for key in ("best_of_n", "weighted_vote")]
        table.add_row(name, *shares, f"{figures['auc_within']:.4f}", "" if f1 is None else f"{f1:.3f}")
    return table


if __name__ == "__main__":
    typer.run(main)
