"""What barriers cost: the same beam search as it is, and in lock step as it is commonly written.

With a barrier per request, all steps of one length are drawn, then all are scored, then the best go on. With a barrier
per batch (as in search-and-learn and OpenR), the requests of a batch also take each step together, and the next batch
starts when the last of them has ended. Problems, seeds, model and verifier are the same; the variants take turns in one
process, so that neighbouring measurements see the same machine.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deliberate.bench.simulated import SEPARATOR, Chance, SimulatedEngine
from deliberate.engines.protocol import Conversation, Sample, Sampling
from deliberate.search.deliberation import prepare
from deliberate.search.evaluation import Question, grade, question_seed
from deliberate.search.judging import Judging
from deliberate.search.log import Log
from deliberate.search.nodes import Draft, Node
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree
from deliberate.server.loading import EmbeddedOptions, load_model
from deliberate.server.serving import Pool, ServedModel
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model
from deliberate.server.verifier_settings import default_verifier
from deliberate.training.tasks import as_question, load_task
from deliberate.verifiers.workers import WorkerPool


class Gate:
    """Lets its members through together, each time all of them have come."""

    def __init__(self, members: int) -> None:
        self._members = members
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._open_if_all_came()
        await future

    def leave(self) -> None:
        """One member comes no more."""
        self._members -= 1
        self._open_if_all_came()

    def _open_if_all_came(self) -> None:
        if len(self._waiting) >= self._members:
            for future in self._waiting:
                future.set_result(None)
            self._waiting.clear()


gate_of_request: ContextVar[Gate] = ContextVar("gate_of_request")
"""Where a request waits for the others that it is in step with."""


@dataclass(slots=True)
class LockStepJudging(Judging):
    """Judges nothing by itself."""

    gate: Gate = field(default_factory=lambda: Gate(1))

    def all_ended(self) -> None:
        """No step grows any more."""
        if self._unjudged:
            self.activity.start(self._judge(), None)

    def _await(self, node: Node) -> None:
        self._unjudged.append(node.chain.token_ids)

    async def _judge(self) -> None:
        await self.gate.wait()
        await Judging._judge(self)


@dataclass(slots=True)
class LockStepTree(Tree):
    """A tree that has nothing judged while any step still grows."""

    gate: Gate = field(default_factory=lambda: Gate(1))
    growing: int = 0
    _lock_step: LockStepJudging = field(init=False)

    def __post_init__(self) -> None:
        Tree.__post_init__(self)
        self._judging = self._lock_step = LockStepJudging(self._steps, self._activity, gate=self.gate)

    def draw(self, node: Node, draft: Draft, count: int = 1) -> range:
        indices = Tree.draw(self, node, draft, count)
        self.growing += len(indices)
        return indices

    def _step_ended(self, parent: Node, draft: Draft, index: int, step: Sample, sampling: Sampling) -> None:
        Tree._step_ended(self, parent, draft, index, step, sampling)
        self.growing -= 1
        if not self.growing:
            self._lock_step.all_ended()


class LockStepBeam(BeamSearch, frozen=True):
    """Beam search with barriers."""

    def plant(self, context: Context, *, lookahead: int = 0, judges_beginnings: bool = True) -> Tree:
        tree = super().plant(context, lookahead=lookahead, judges_beginnings=judges_beginnings)
        return LockStepTree(tree.context, tree.rules, gate=gate_of_request.get())


@dataclass(frozen=True, slots=True)
class Turn:
    """One variant on all problems, once."""

    seconds: float
    running: float
    """Sequences in the engine's batch, mean over its decoding steps."""
    tokens: int
    right: int


class Bench:
    """The variants on the same problems."""

    def __init__(self, model: ServedModel, questions: Sequence[Question], clients: int, sampling: Sampling) -> None:
        self._model = model
        self._questions = questions
        self._clients = clients
        self._sampling = sampling
        self._workers = WorkerPool()
        self._pool = Pool([model], self._workers)

    async def as_it_is(self, beam: BeamSearch) -> Turn:
        """Each client asks its next question as soon as it has an answer."""
        return await self._timed(lambda: self._freely(beam))

    async def barrier_per_request(self, beam: BeamSearch) -> Turn:
        """The same, with barriers within each request."""
        return await self._timed(lambda: self._freely(_with_barriers(beam)))

    async def barrier_per_batch(self, beam: BeamSearch) -> Turn:
        """As many questions as there are clients at a time, in lock step."""
        return await self._timed(lambda: self._in_batches(_with_barriers(beam)))

    async def _timed(self, work: Callable[[], Awaitable[list[Log]]]) -> Turn:
        before, start = self._model.engine.stats, time.perf_counter()
        logs = await work()
        seconds, after = time.perf_counter() - start, self._model.engine.stats
        steps = after.decode_steps_total - before.decode_steps_total
        sequences = after.decode_sequences_total - before.decode_sequences_total
        answers = [log.sample(log.chosen.choices[0].index).text for log in logs]
        right = sum([await self._is_right(*pair) for pair in zip(self._questions, answers, strict=True)])
        return Turn(seconds, sequences / steps, sum(log.completion_tokens for log in logs), right)

    async def _is_right(self, question: Question, answer: str) -> bool:
        (verdict,) = await grade(question, [answer], self._pool.resources(self._model))
        return verdict.passed is True

    async def _freely(self, beam: BeamSearch) -> list[Log]:
        turnstile = asyncio.Semaphore(self._clients)

        async def ask(question: Question) -> Log:
            async with turnstile:
                return await self._search(beam, question, Gate(1))

        return await asyncio.gather(*map(ask, self._questions))

    async def _in_batches(self, beam: LockStepBeam) -> list[Log]:
        logs: list[Log] = []
        for first in range(0, len(self._questions), self._clients):
            batch = self._questions[first : first + self._clients]
            gate = Gate(len(batch))
            logs += await asyncio.gather(*(self._in_step(beam, gate, question) for question in batch))
        return logs

    async def _in_step(self, beam: LockStepBeam, gate: Gate, question: Question) -> Log:
        try:
            return await self._search(beam, question, gate)
        finally:
            gate.leave()

    async def _search(self, beam: BeamSearch, question: Question, gate: Gate) -> Log:
        gate_of_request.set(gate)
        deliberation = prepare(
            beam,
            Conversation(question.messages),
            self._sampling.model_copy(update={"seed": question_seed(self._sampling.seed, question.id)}),
            self._pool.resources(self._model),
            default_verifier=self._model.default_verifier,
        )
        log = Log()
        async with aclosing(deliberation.events()) as events:
            async for event in events:
                log.add(event)
        return log

    async def close(self) -> None:
        await self._pool.close()


def _with_barriers(beam: BeamSearch) -> LockStepBeam:
    return LockStepBeam.model_validate(beam.model_dump() | {"speculate": False})


async def _measure(bench: Bench, beam: BeamSearch, rounds: int, console: Console) -> dict[str, list[Turn]]:
    variants = {
        "as it is": bench.as_it_is,
        "as it is, without speculation": lambda b: bench.as_it_is(b.model_copy(update={"speculate": False})),
        "barrier per request": bench.barrier_per_request,
        "barrier per batch": bench.barrier_per_batch,
    }
    turns: dict[str, list[Turn]] = {name: [] for name in variants}
    try:
        for number in track(range(rounds + 1), description="Rounds", console=console):
            for name, variant in variants.items():
                turn = await variant(beam)
                turns[name] += [turn] if number else []  # the first warms up
    finally:
        await bench.close()
    return turns


def main(
    model: Annotated[str, typer.Argument(help="Model folder or bundled model.")] = "tiny",
    *,
    size: Annotated[str, typer.Option(help="Width and expansions.")] = "4x4",
    clients: Annotated[int, typer.Option(help="Requests at once.")] = 8,
    problems: Annotated[int, typer.Option(help="Held-out problems per turn.")] = 48,
    rounds: Annotated[int, typer.Option(help="Timed turns of each variant; medians count.")] = 5,
    temperature: Annotated[float, typer.Option(help="Of all variants.")] = 0.8,
    simulate: Annotated[
        bool, typer.Option(help="On an engine whose decoding steps take as long whatever the batch, as on GPUs.")
    ] = False,
) -> None:
    """Measure beam search with and without barriers."""
    console = Console(stderr=True)
    task = load_task("word_problems")
    questions = [as_question(problem) for problem in task.problems("test", 0, problems)]
    ready = _simulated() if simulate else _loaded(model)
    width, expansions = (int(part) for part in size.split("x"))
    bench = Bench(ready, questions, clients, Sampling(temperature=temperature, max_tokens=256))
    turns = asyncio.run(_measure(bench, BeamSearch(width=width, expansions=expansions), rounds, console))
    where = "simulated" if simulate else model
    Console().print(_table(turns, f"beam-{size} on {where}, {clients} clients, {problems} problems"))


def _loaded(model: str) -> ServedModel:
    served = load_model(find_model(model), EmbeddedOptions())
    return replace(served, default_verifier=default_verifier(Settings(), served))


def _simulated() -> ServedModel:
    """Eight steps of 30 tokens on average, of which one in six is more than twice as long; a verdict takes three."""
    engine = SimulatedEngine(steps=8, mean_length=30, sigma=0.8, seconds=0.01)
    return ServedModel("simulated", engine, step_separator=SEPARATOR, default_verifier=Chance(seconds=0.03))


def _table(turns: dict[str, list[Turn]], title: str) -> Table:
    table = Table(title=title)
    table.add_column("variant")
    for column in ("running", "seconds", "tokens", "right", "running, ours of it", "wall time, ours of it"):
        table.add_column(column, justify="right")
    ours = turns["as it is"]
    for name, theirs in turns.items():
        pairs = list(zip(ours, theirs, strict=True))
        table.add_row(
            name,
            f"{statistics.median(turn.running for turn in theirs):.1f}",
            f"{statistics.median(turn.seconds for turn in theirs):.1f}",
            f"{statistics.median(turn.tokens for turn in theirs):,.0f}",
            str(theirs[0].right),
            f"{statistics.median(a.running / b.running for a, b in pairs):.2f}",
            f"{statistics.median(a.seconds / b.seconds for a, b in pairs):.2f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
