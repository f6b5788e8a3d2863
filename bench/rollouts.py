"""How much of the engine's own speed is left when the stage `rollouts` samples, scores and writes?

In one process the engine alone and the stage take turns on fresh problems of a task, with the same completions in
flight, so that the ratio holds on a noisy machine: `python -m deliberate.bench.rollouts [MODEL]`. Where the machine is
busy with other work, the ratio of tokens per CPU second of this process tells more; verifiers work in others.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from deliberate.bench.embedded import taking_turns
from deliberate.bench.figures import save_figures
from deliberate.engines.protocol import Conversation, Engine
from deliberate.search.templating import prompt_of
from deliberate.training.datasets.problems import TaskConfig, read_problems
from deliberate.training.datasets.rows import Row
from deliberate.training.sampling.asking import opened
from deliberate.training.sampling.book import Book
from deliberate.training.sampling.engines import EngineConfig
from deliberate.training.stages.rollouts import RolloutsConfig, Work


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens, and the seconds that they took: by the clock, and of this process's CPU time."""

    seconds: float
    cpu_seconds: float
    tokens: int = 0

    @classmethod
    def begin(cls) -> "Turn":
        """Now."""
        return cls(time.perf_counter(), time.process_time())

    def ended(self, tokens: int) -> "Turn":
        """Since it began."""
        return Turn(time.perf_counter() - self.seconds, time.process_time() - self.cpu_seconds, tokens)

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds

    @property
    def cpu_rate(self) -> float:
        return self.tokens / self.cpu_seconds


def config_of(model: str, problems: int, n: int, concurrency: int) -> RolloutsConfig:
    """One turn of the stage."""
    return RolloutsConfig(
        name="bench",
        output_dir=Path(),
        engine=EngineConfig(model=model),
        task=TaskConfig(name="word_problems", count=problems),
        num_generations=n,
        max_completion_length=256,
        concurrency=concurrency,
    )


def problems_of(config: RolloutsConfig, turn: int) -> tuple[Row, ...]:
    """Others at each turn, so that no side finds the other's prompts in the cache."""
    assert config.task is not None
    return read_problems((), config.task.model_copy(update={"seed": turn}))


async def engine_alone(engine: Engine, config: RolloutsConfig, rows: Sequence[Row]) -> int:
    """Tokens drawn for all rows."""
    turnstile = asyncio.Semaphore(config.concurrency // config.num_generations)

    async def one(row: Row) -> int:
        prompt = prompt_of(engine, Conversation(row.prompt))
        async with turnstile:
            deltas = engine.generate(prompt, config.sampling, config.num_generations)
            return sum([len(delta.token_ids) async for delta in deltas])

    return sum(await asyncio.gather(*map(one, rows)))


async def measure(config: RolloutsConfig, rounds: int) -> dict[str, Any]:
    """Tokens per second of both sides, and the ratio of neighbours in time."""
    alone_turns, stage_turns = list[Turn](), list[Turn]()
    async with opened(config, ()) as sampler:

        async def alone(turn: int) -> float:
            rows, start = problems_of(config, 2 * turn), Turn.begin()
            alone_turns.append(start.ended(await engine_alone(sampler.engine, config, rows)))
            return alone_turns[-1].seconds

        async def stage(turn: int) -> float:
            rows, start = problems_of(config, 2 * turn + 1), Turn.begin()
            with tempfile.TemporaryDirectory() as folder:
                book = Book(Path(folder), rows, lambda _: None, logging_steps=config.logging_steps)
                with closing(book):
                    await Work(config, sampler.engine, sampler.resources, sampler.scoring, book).all()
                    book.finish()
            stage_turns.append(start.ended(book.totals.completion_tokens))
            return stage_turns[-1].seconds

        await taking_turns(rounds, [alone, stage], "engine and stage")
    pairs = list(zip(stage_turns, alone_turns, strict=True))[1:]
    return {
        "engine_tokens_per_second": median(alone.rate for _, alone in pairs),
        "rollouts_tokens_per_second": median(ours.rate for ours, _ in pairs),
        "ratio": median(ours.rate / alone.rate for ours, alone in pairs),
        "ratios": [ours.rate / alone.rate for ours, alone in pairs],
        "cpu_ratio": median(ours.cpu_rate / alone.cpu_rate for ours, alone in pairs),
        "cpu_ratios": [ours.cpu_rate / alone.cpu_rate for ours, alone in pairs],
        "problems": len(problems_of(config, 0)),
        "num_generations": config.num_generations,
        "concurrency": config.concurrency,
    }


def main(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a Hugging Face id.")] = "tiny",
    problems: Annotated[int, typer.Option(help="Problems of each turn.")] = 64,
    n: Annotated[int, typer.Option(help="Completions of each problem.")] = 8,
    concurrency: Annotated[int, typer.Option(help="Completions in flight, on both sides.")] = 128,
    rounds: Annotated[int, typer.Option(help="Timed turns of each side; medians count.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure the stage beside its engine."""
    results = asyncio.run(measure(config_of(model, problems, n, concurrency), rounds))
    typer.echo(
        f"engine alone {results['engine_tokens_per_second']:.0f} tokens/s, rollouts with scores "
        f"{results['rollouts_tokens_per_second']:.0f}: {results['ratio']:.2f} of it, and {results['cpu_ratio']:.2f} of "
        "its tokens per CPU second"
    )
    save_figures(results, save)


if __name__ == "__main__":
    typer.run(main)
