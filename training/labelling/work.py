"""Labels all problems that are left, side by side."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Engine, Finish, Sample
from deliberate.search.evaluation import question_seed
from deliberate.search.templating import prompt_of
from deliberate.training.datasets.rows import RolloutRow, Row
from deliberate.training.datasets.sources import BadData
from deliberate.training.datasets.writing import step_labels_line
from deliberate.training.labelling.binary_search import binary_search
from deliberate.training.labelling.completing import EngineCompleter, is_right
from deliberate.training.labelling.exact import ExactLabels
from deliberate.training.labelling.labels import Labelled
from deliberate.training.labelling.monte_carlo import monte_carlo
from deliberate.training.labelling.omega_prm import omega_prm
from deliberate.training.labelling.options import ONE_AT_A_TIME, LabelOptions
from deliberate.training.labelling.solutions import Cutter, Solution
from deliberate.training.labelling.states import States
from deliberate.training.sampling.book import Book
from deliberate.training.sampling.groups import Patience
from deliberate.training.sampling.scoring import Scoring
from deliberate.verifiers.protocol import Resources, Verdict


@dataclass(slots=True)
class Work:
    """What labelling needs, whichever the problem."""

    options: LabelOptions
    seed: int
    engine: Engine
    resources: Resources
    scoring: Scoring
    turnstile: asyncio.Semaphore = field(init=False)
    """Of calls of the engine: so many samples are on their way as `concurrency` says."""
    cut: Cutter = field(init=False)
    exact: ExactLabels | None = field(init=False)

    def __post_init__(self) -> None:
        """Raises InvalidRequest for a task that checks no steps."""
        options = self.options
        self.turnstile = asyncio.Semaphore(self._calls)
        self.cut = Cutter(self.engine.tokenizer, options.step_separator or self.resources.step_separator)
        self.exact = None
        if options.method == "exact":
            assert options.task is not None, "the options were checked"
            self.exact = ExactLabels.of(options.task)

    @property
    def _calls(self) -> int:
        at_once = 1 if self.options.method in ONE_AT_A_TIME else self.options.num_completions
        return math.ceil(self.options.concurrency / at_once)

    async def all(self, book: Book) -> None:
        """So many problems at once. Raises the first error, when the others have stopped."""
        waiting = book.left

        async def work() -> None:
            for row in waiting:
                await self._one(row, book)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(2 * self._calls):  # While some are completed, others are judged.
                    tasks.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _one(self, row: Row, book: Book) -> None:
        try:
            line = await self._line(row)
        except InvalidRequest as error:
            if not self.options.skip_refused:
                raise BadData(
                    f"{row.place}: {error} Mend that problem, leave it out, or set skip_refused; then the same "
                    "command goes on."
                ) from error
            book.refuse(row, str(error))
            return
        book.add(line)

    async def _line(self, row: Row) -> dict[str, Any]:
        """A problem with its labels."""
        completer = await self._completer(row)
        states = self._states(row, completer)
        solutions, sampled = await self._solutions(row, completer)
        labelled = await self._labelled(row, list(dict.fromkeys(solutions)), states)
        usage = {
            "sampled": len(sampled),
            "completions": states.completions,
            "completion_tokens": states.tokens + sum(sampled),
        }
        return step_labels_line(row, list(map(_as_fields, labelled)), usage=usage)

    async def _labelled(self, row: Row, solutions: Sequence[Solution], states: States) -> list[Labelled]:
        match self.options.method:
            case "monte_carlo":
                return await monte_carlo(solutions, states)
            case "sequential":
                return await binary_search(solutions, states, bisect=False)
            case "binary_search":
                return await binary_search(solutions, states)
            case "omega_prm":
                return await omega_prm(solutions, states, self.options.priority, bisect=self.options.bisect)
            case "exact":
                assert self.exact is not None, "made for this method"
                return [self.exact.labelled(row.id, solution) for solution in solutions]

    def _states(self, row: Row, completer: EngineCompleter) -> States:
        options = self.options
        return States(
            completer,
            self.cut,
            lambda prefix: question_seed(self.seed, f"{row.id}:{prefix}"),
            options.num_completions,
            until_right=options.method in ONE_AT_A_TIME,
            reuse=options.method == "binary_search" or options.reuse,
            check_right=options.check_right or options.method == "sequential",
            budget=options.budget,
        )

    async def _completer(self, row: Row) -> EngineCompleter:
        prompt = await asyncio.to_thread(prompt_of, self.engine, Conversation(row.prompt, row.tools))

        async def judge(samples: Sequence[Sample]) -> Sequence[Verdict | None]:
            return await self.scoring.verdicts(row, prompt, samples, self.resources)

        patience = Patience(self.options.max_retries, self.options.retry_seconds)
        sampling = self.options.sampling
        return EngineCompleter(self.engine, prompt.token_ids, sampling, judge, self.turnstile, patience)

    async def _solutions(self, row: Row, completer: EngineCompleter) -> tuple[list[Solution], list[int]]:
        """The row's own, or sampled ones with the tokens of each."""
        if isinstance(row, RolloutRow):
            return await self._given(row, completer), []
        if self.options.method == "omega_prm":
            return [], []
        drawn = await completer.complete((), self.options.num_generations, question_seed(self.seed, row.id))
        cut = [self.cut(completion) for completion in drawn]
        return [one for one in cut if one is not None], [len(completion.tokens) for completion in drawn]

    async def _given(self, row: RolloutRow, completer: EngineCompleter) -> list[Solution]:
        """Those without a score are judged."""
        rights = {number: is_right(sample.score) for number, sample in enumerate(row.samples)}
        unscored = [number for number, right in rights.items() if right is None]
        if unscored:
            samples = [row.samples[number] for number in unscored]
            verdicts = await completer.judge(
                [Sample(one.text, (), (), Finish("stop" if one.finished else "length")) for one in samples]
            )
            for number, verdict in zip(unscored, verdicts, strict=True):
                rights[number] = None if verdict is None else is_right(verdict.score)
        cut = [
            self.cut.text(sample.text, sample.token_ids, rights[number], sample.finished)
            for number, sample in enumerate(row.samples)
        ]
        return [one for one in cut if one is not None]


def _as_fields(labelled: Labelled) -> dict[str, Any]:
    soft = [None if label is None else round(label, 6) for label in labelled.soft]
    return {"steps": list(labelled.solution.steps), "hard_labels": list(labelled.hard), "soft_labels": soft}
