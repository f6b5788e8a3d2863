"""How fast is the embedded engine, beside plain `model.generate` on the same model?

Everything runs in one process on the same threads, the two sides taking turns, so that the ratios hold on a
noisy machine: `python -m deliberate.bench.embedded [MODEL]`.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import AutoModelForCausalLM

from deliberate.bench.figures import save_figures
from deliberate.engines.protocol import Prompt, Sampling
from deliberate.engines.transformers import TransformersEngine, load
from deliberate.models import bundled

PROMPT_TOKENS = 48


def prompts(count: int, vocabulary: int, first: int = 0) -> list[list[int]]:
    """Different prompts of equal length, so that neither side pads and no prefix is shared."""
    return [[(7 * i + 31 * row + 3) % vocabulary for i in range(PROMPT_TOKENS)] for row in range(first, first + count)]


async def engine_seconds(engine: TransformersEngine, batch: Sequence[Sequence[int]], new_tokens: int) -> float:
    """Time to draw exactly `new_tokens` for each prompt, all of them as concurrent requests."""
    bias = dict.fromkeys(engine.end_of_sequence, -100.0)
    sampling = Sampling(max_tokens=new_tokens, seed=1, logit_bias=bias)

    async def one(prompt: Sequence[int]) -> int:
        return sum([len(delta.token_ids) async for delta in engine.generate(Prompt(tuple(prompt)), sampling)])

    start = time.perf_counter()
    drawn = sum(await asyncio.gather(*map(one, batch)))
    assert drawn == new_tokens * len(batch), drawn
    return time.perf_counter() - start


async def generate_seconds(model: Any, batch: Sequence[Sequence[int]], new_tokens: int) -> float:
    """The same by `model.generate`, one batched call."""
    ids = torch.tensor(batch)
    start = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=new_tokens,
            min_new_tokens=new_tokens, pad_token_id=0,
        )  # fmt: skip
    assert output.shape[1] == PROMPT_TOKENS + new_tokens
    return time.perf_counter() - start


async def taking_turns(
    rounds: int, sides: Sequence[Callable[[int], Awaitable[float]]], label: str
) -> list[list[float]]:
    """Seconds of each side, round by round; a round before them warms up."""
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in track(range(rounds + 1), label, transient=True):
        for side, times in zip(sides, seconds, strict=True):
            elapsed = await side(turn)
            if turn > 0:
                times.append(elapsed)
    return seconds


def paired_ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """Median over rounds of how many times longer the first took: neighbours in time see the same machine."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


async def measure(path: str, new_tokens: int, rounds: int, threads: int | None) -> dict[str, Any]:
    """All figures."""
    engine = load(path, threads=threads)
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    vocabulary = int(model.config.vocab_size)
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "new_tokens": new_tokens, "batches": []}
    for batch in (1, 16, 64):

        def fresh(turn: int, batch: int = batch) -> list[list[int]]:
            return prompts(batch, vocabulary, first=1000 * (turn + 1) + batch)

        ours, theirs = await taking_turns(
            rounds,
            [
                lambda turn, fresh=fresh: engine_seconds(engine, fresh(turn), new_tokens),
                lambda turn, fresh=fresh: generate_seconds(model, fresh(turn), new_tokens),
            ],
            f"batch {batch}",
        )
        tokens = batch * new_tokens
        engine_rate, generate_rate = (tokens / statistics.median(times) for times in (ours, theirs))
        ratio = paired_ratio(theirs, ours)
        results["batches"].append({"batch": batch, "engine": engine_rate, "generate": generate_rate, "ratio": ratio})
    one, sixteen = await taking_turns(
        rounds,
        [
            lambda turn: engine_seconds(engine, prompts(1, vocabulary, 7 * turn), new_tokens),
            lambda turn: engine_seconds(engine, prompts(16, vocabulary, 10_000 + 7 * turn), new_tokens),
        ],
        "concurrency",
    )
    results["sixteen_requests_to_one"] = 16 * paired_ratio(one, sixteen)
    results["prefill_of_extension"] = await extension_prefill(engine, vocabulary)
    await engine.close()
    return results


async def extension_prefill(engine: TransformersEngine, vocabulary: int) -> int:
    """Prompt tokens computed for a request that extends a finished one by 32 tokens."""
    prompt = prompts(1, vocabulary, first=999)[0]
    bias = dict.fromkeys(engine.end_of_sequence, -100.0)
    answer: list[int] = []
    async for delta in engine.generate(Prompt(tuple(prompt)), Sampling(max_tokens=100, logit_bias=bias)):
        answer += delta.token_ids
    before = engine.stats.prefill_tokens_total
    async for _ in engine.generate(Prompt((*prompt, *answer, *prompt[:32])), Sampling(max_tokens=1)):
        pass
    return engine.stats.prefill_tokens_total - before


def main(
    model: Annotated[str | None, typer.Argument(help="Model folder; the bundled tiny without one.")] = None,
    new_tokens: Annotated[int, typer.Option(help="Tokens drawn per sequence.")] = 64,
    rounds: Annotated[int, typer.Option(help="Timed turns of each side; medians count.")] = 9,
    threads: Annotated[int | None, typer.Option(help="CPU threads of both sides.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure the embedded engine beside model.generate."""
    results = asyncio.run(measure(model or str(bundled("tiny")), new_tokens, rounds, threads))
    table = Table("batch", "engine tokens/s", "generate tokens/s", "ratio", title=f"{results['threads']} thread(s)")
    for row in results["batches"]:
        table.add_row(str(row["batch"]), f"{row['engine']:.0f}", f"{row['generate']:.0f}", f"{row['ratio']:.2f}")
    console = Console()
    console.print(table)
    console.print(f"16 concurrent requests: {results['sixteen_requests_to_one']:.1f} times the throughput of one")
    console.print(f"a request that extends a finished one by 32 tokens prefills {results['prefill_of_extension']}")
    save_figures(results, save)


if __name__ == "__main__":
    typer.run(main)
