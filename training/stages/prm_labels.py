"""Step labels for process reward models: Monte-Carlo completions, bisection, OmegaPRM, or a task's exact checker.

Solutions are those of rollouts, or are sampled here. Problems are labelled side by side; each is appended to data.jsonl
when it is done, so that a killed run loses no more than those in flight. All seeds follow from the problem and the
prefix alone. At the end the lines are put in the order of the problems: data.jsonl is that of a run that was never
interrupted, as far as the engine is deterministic.
"""

import asyncio
from collections.abc import Sequence
from contextlib import closing

from deliberate.engines.errors import InvalidRequest
from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA, claimed, data_hash
from deliberate.training.datasets.problems import instructed, read_problems
from deliberate.training.datasets.rows import Row
from deliberate.training.labelling.options import LabelOptions
from deliberate.training.labelling.totals import LabelTotals
from deliberate.training.labelling.work import Work
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.sampling.asking import AskingConfig, opened
from deliberate.training.sampling.book import Book
from deliberate.training.stages._protocol import Stage

NAME = "prm_labels"


class PRMLabelsConfig(LabelOptions, AskingConfig):
    """One run of labelling."""


def run(config: PRMLabelsConfig, report: Reporter = lambda _: None) -> Artifact:
    """Label to the end and leave data.jsonl, of the formats `step_labels` and `soft_step_labels`.

    Raises:
        OtherRun: the folder holds another run.
        BadData: the data cannot be read, a row has no verifier that can be built, or the engine refuses one.
        InvalidRequest: a model cannot be had, or does not go on from given tokens; the task checks no steps.
        UpstreamFailed, Overloaded: a server failed for too long; the same run goes on where it ended.
    """
    known = config.parents()
    done = finished(config, NAME, known)
    if done is not None:
        return done
    rows = [instructed(row, config.system_prompt) for row in read_problems(config.datasets, config.task)]
    return asyncio.run(_run(config, rows, known, report))


async def _run(config: PRMLabelsConfig, rows: Sequence[Row], known: dict[str, str], report: Reporter) -> Artifact:
    async with opened(config, rows) as labeller:
        if not labeller.engine.capabilities.token_ids:
            raise InvalidRequest(
                "The model's server takes conversations only, and cannot go on from the beginning of an answer; "
                "serve it where token ids are taken, as by vllm serve, or load it here.",
                param="engine",
            )
        work = Work(config, config.seed, labeller.engine, labeller.resources, labeller.scoring)
        with claimed(config, NAME, known), closing(_opened_book(config, rows, report)) as book:
            await work.all(book)
            book.finish()
            return finish(config, _artifact(config, known, book))


def _opened_book(config: PRMLabelsConfig, rows: Sequence[Row], report: Reporter) -> Book:
    # TensorBoard's events are written by torch, which a stage that only asks a server does without.
    in_process = config.engine.base_url is None
    return Book(
        config.output_dir,
        rows,
        report,
        logging_steps=config.logging_steps,
        tensorboard=in_process,
        totals=LabelTotals(),
    )


def _artifact(config: PRMLabelsConfig, known: dict[str, str], book: Book) -> Artifact:
    seconds = round(book.seconds)
    totals = book.totals.metrics()
    rate = {"completions_per_second": round(totals["completions"] / book.seconds, 3)} if book.seconds else {}
    return record(
        config,
        NAME,
        known,
        task=config.problems,
        data_hash=data_hash(book.folder / DATA),
        metrics={**totals, "refused": book.refused, "seconds": seconds, **rate},
    )


STAGE = Stage(name=NAME, config=PRMLabelsConfig, run=run)
