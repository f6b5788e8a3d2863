"""Rollouts: samples completions of every problem with any engine, and scores them by any verifiers.

Many problems are in flight at once; each is appended to data.jsonl when it is done, so that a killed run loses no more
than those in flight. A problem's seeds follow from its id alone. At the end the lines are put in the order of the
problems: data.jsonl is that of a run that was never interrupted, as far as the engine is deterministic.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Engine
from deliberate.engines.protocol import Sample as Drawn
from deliberate.search.evaluation import question_seed
from deliberate.search.templating import prompt_of
from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA, claimed, data_hash
from deliberate.training.datasets.problems import instructed, read_problems
from deliberate.training.datasets.rows import Row, Sample
from deliberate.training.datasets.sources import BadData
from deliberate.training.datasets.writing import rollout_line
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.sampling.asking import AskingConfig, opened
from deliberate.training.sampling.book import Book
from deliberate.training.sampling.groups import Group, Patience
from deliberate.training.sampling.scoring import Scoring
from deliberate.training.stages._protocol import Stage
from deliberate.verifiers.protocol import Resources, Verdict

NAME = "rollouts"


class RolloutsConfig(AskingConfig):
    """One run of sampling."""


def run(config: RolloutsConfig, report: Reporter = lambda _: None) -> Artifact:
    """Sample to the end and leave data.jsonl, of the format `rollouts`.

    Raises:
        OtherRun: the folder holds another run.
        BadData: the problems cannot be read, one has no verifier that can be built, or the engine refuses one.
        InvalidRequest: a model cannot be had.
        UpstreamFailed, Overloaded: a server failed for too long; the same run goes on where it ended.
    """
    known = config.parents()
    done = finished(config, NAME, known)
    if done is not None:
        return done
    rows = [instructed(row, config.system_prompt) for row in read_problems(config.datasets, config.task)]
    return asyncio.run(_run(config, rows, known, report))


async def _run(config: RolloutsConfig, rows: Sequence[Row], known: dict[str, str], report: Reporter) -> Artifact:
    async with opened(config, rows) as sampler:
        with claimed(config, NAME, known), closing(_opened_book(config, rows, report)) as book:
            await Work(config, sampler.engine, sampler.resources, sampler.scoring, book).all()
            book.finish()
            return finish(config, _artifact(config, known, book))


def _opened_book(config: RolloutsConfig, rows: Sequence[Row], report: Reporter) -> Book:
    # TensorBoard's events are written by torch, which a stage that only asks a server does without.
    in_process = config.engine.base_url is None
    return Book(config.output_dir, rows, report, logging_steps=config.logging_steps, tensorboard=in_process)


@dataclass(frozen=True, slots=True)
class Work:
    """Samples and scores all that is left."""

    config: RolloutsConfig
    engine: Engine
    resources: Resources
    scoring: Scoring
    book: Book

    async def all(self) -> None:
        """So many problems at once. Raises the first error, when the others have stopped."""
        waiting = self.book.left
        in_flight = math.ceil(self.config.concurrency / self.config.num_generations)
        turnstile = asyncio.Semaphore(in_flight)

        async def work() -> None:
            for row in waiting:
                await self._one(row, turnstile)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(2 * in_flight):  # While some are sampled, others are scored.
                    tasks.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _one(self, row: Row, turnstile: asyncio.Semaphore) -> None:
        try:
            async with turnstile:
                group, samples = await self._sampled(row, Conversation(row.prompt, row.tools))
        except InvalidRequest as error:
            if not self.config.skip_refused:
                raise BadData(
                    f"{row.place}: {error} Mend that problem, leave it out, or set skip_refused; then the same "
                    "command goes on."
                ) from error
            self.book.refuse(row, str(error))
            return
        verdicts = await self.scoring.verdicts(row, group.prompt, samples, self.resources)
        scored = [_scored(sample, verdict) for sample, verdict in zip(samples, verdicts, strict=True)]
        usage = {"prompt_tokens": group.prompt_tokens, "completion_tokens": group.tokens}
        self.book.add(rollout_line(row, scored, usage=usage))

    async def _sampled(self, row: Row, conversation: Conversation) -> tuple[Group, list[Drawn]]:
        prompt = await asyncio.to_thread(prompt_of, self.engine, conversation)
        verifier = self.scoring.verifier(row)
        sampling = self.config.sampling.model_copy(
            update={
                "seed": question_seed(self.config.seed, row.id),
                "top_logprobs": 0 if verifier is None else verifier.top_logprobs,
            }
        )
        group = Group(self.engine, prompt, sampling, self.config.num_generations)
        return group, await group.draw(Patience(self.config.max_retries, self.config.retry_seconds))


def _scored(sample: Drawn, verdict: Verdict | None) -> Sample:
    return Sample(
        sample.text,
        None if verdict is None else verdict.score,
        sample.finish.reason == "stop",
        sample.token_ids or None,
        sample.logprobs or None,
    )


def _artifact(config: RolloutsConfig, known: Mapping[str, str], book: Book) -> Artifact:
    found = book.totals.metrics()
    lost = config.num_generations * found["problems"] - found["completions"]
    return record(
        config,
        NAME,
        known,
        task=config.problems,
        data_hash=data_hash(book.folder / DATA),
        metrics={**found, "lost": lost, "refused": book.refused, "seconds": round(book.seconds)},
    )


STAGE = Stage(name=NAME, config=RolloutsConfig, run=run)
