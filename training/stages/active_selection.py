"""Active selection: of scored rollouts, the wrong answers that a selector finds most convincing, and some others.

What a reward model learns from most (Lightman 2023, arXiv:2305.20050). The selector is a small reward model, or any
other verifier; the rollouts' own scores say which answers are wrong, and are kept. Each problem is appended to
data.jsonl when it is done; at the end the lines are put in the order of the problems.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from typing import Any, ClassVar

from pydantic import Field

from deliberate.search.templating import template_messages
from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA, claimed, data_hash, data_parents
from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.datasets.rows import RolloutRow, Sample
from deliberate.training.datasets.sources import BadData
from deliberate.training.datasets.writing import rollout_line
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.sampling.book import Book
from deliberate.training.sampling.engines import HOW_IT_RUNS, EngineConfig, parents
from deliberate.training.sampling.lending import lent_resources
from deliberate.training.sampling.scoring import Scoring
from deliberate.training.selection.convincing import Judged, SelectionTotals, most_convincing
from deliberate.training.stages._protocol import Stage, StageConfig
from deliberate.training.stages.rejection_sampling import read_rollouts
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Resources

NAME = "active_selection"


class ActiveSelectionConfig(StageConfig):
    """One selection."""

    no_effect: ClassVar[frozenset[str]] = StageConfig.no_effect | {"concurrency", "logging_steps"}

    datasets: tuple[DatasetConfig, ...] = Field(
        min_length=1, description="Scored rollouts; those of the same problems are put together."
    )
    verifier_model: EngineConfig | None = Field(
        default=None, description="The selector, for the verifiers reward_model, likelihood and judge."
    )
    verifier: Any = Field(default="reward_model", description="Says how convincing an answer is, as in a request.")
    num_selected: int = Field(default=8, gt=0, description="Answers of each problem that are kept, where it has more.")
    wrong_share: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Of these, the most convincing wrong ones; the others are of all that is left.",
    )
    min_score: float = Field(default=1.0, ge=0, le=1, description="Answers with a lower score are wrong.")
    concurrency: int = Field(default=16, gt=0, description="Problems that are judged at once.")
    logging_steps: int = Field(default=10, gt=0, description="A line of metrics.jsonl covers this many problems.")

    def portable(self) -> dict[str, Any]:
        config = super().portable()
        model: dict[str, Any] = config["verifier_model"] or {}
        return config | {"verifier_model": {key: value for key, value in model.items() if key not in HOW_IT_RUNS}}


def run(config: ActiveSelectionConfig, report: Reporter = lambda _: None) -> Artifact:
    """Select to the end and leave data.jsonl, of the format `rollouts`.

    Raises:
        OtherRun: the folder holds another run.
        BadData: the rollouts cannot be read, or none has a score.
        InvalidRequest: the selector cannot be had.
    """
    known = {**data_parents(config.datasets), **parents(config.verifier_model)}
    done = finished(config, NAME, known)
    if done is not None:
        return done
    rows = [row for row in read_rollouts(config.datasets) if _decided(row)]
    if not rows:
        raise BadData("None of the rollouts has a score that says what is wrong; sample them with a verifier.")
    return asyncio.run(_run(config, rows, known, report))


async def _run(
    config: ActiveSelectionConfig, rows: Sequence[RolloutRow], known: dict[str, str], report: Reporter
) -> Artifact:
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(lent_resources(judge=config.verifier_model))
        scoring = Scoring(config.verifier, {})
        scoring.check(rows, resources)
        stack.enter_context(claimed(config, NAME, known))
        totals = SelectionTotals()
        book = stack.enter_context(
            closing(Book(config.output_dir, rows, report, logging_steps=config.logging_steps, totals=totals))
        )
        await _select_all(config, book, scoring, resources, {row.id: row for row in rows})
        book.finish()
        return finish(config, _artifact(config, known, book))


async def _select_all(
    config: ActiveSelectionConfig, book: Book, scoring: Scoring, resources: Resources, rows: dict[str, RolloutRow]
) -> None:
    """So many problems at once. Raises the first error, when the others have stopped."""
    waiting = book.left

    async def work() -> None:
        for left in waiting:
            row = rows[left.id]
            answers = await _judged(row, scoring, resources)
            chosen = most_convincing(
                answers, config.num_selected, wrong_share=config.wrong_share, min_score=config.min_score
            )
            convincing = [answer.convincing for answer in chosen]
            book.add(rollout_line(row, [answer.sample for answer in chosen], convincing=convincing))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(config.concurrency):
                tasks.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _judged(row: RolloutRow, scoring: Scoring, resources: Resources) -> list[Judged]:
    samples, verifier = _decided(row), scoring.verifier(row)
    if verifier is None:
        return [Judged(sample, None) for sample in samples]
    problem = Problem(template_messages(list(map(dict, row.prompt))), tools=row.tools)
    candidates = [
        Candidate(sample.text, sample.token_ids, sample.logprobs, finished=sample.finished) for sample in samples
    ]
    verdicts = await build_guarded(verifier, resources).verify(problem, candidates)
    return [Judged(sample, verdict.score) for sample, verdict in zip(samples, verdicts, strict=True)]


def _decided(row: RolloutRow) -> list[Sample]:
    """Answers that are known to be right or wrong, each text once."""
    answers: dict[str, Sample] = {}
    for sample in row.samples:
        if sample.score is not None:
            answers.setdefault(sample.text, sample)
    return list(answers.values())


def _artifact(config: ActiveSelectionConfig, known: dict[str, str], book: Book) -> Artifact:
    return record(
        config,
        NAME,
        known,
        task=", ".join(data.source for data in config.datasets),
        data_hash=data_hash(book.folder / DATA),
        metrics={**book.totals.metrics(), "seconds": round(book.seconds)},
    )


STAGE = Stage(name=NAME, config=ActiveSelectionConfig, run=run)
