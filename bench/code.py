"""How many verdicts on tiny Python programs the verifier `code` gives in a second, and how many fresh interpreters do.

All run the same programs on the same tests in boxes of the same tier, in turns, so that what else the machine does
weighs on all; a fresh interpreter starts with the same options as a warm one. "calls, fresh" is the same verdict as
"calls, warm", by an interpreter that is started for it (`sandbox_warm` off). "fresh interpreters" is the least that
could be done instead: a new interpreter runs the program with three calls at its end, and what it prints is believed.
Verdicts on tests as source take two processes each.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.sandbox.protocol import Job
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig
from deliberate.verifiers.workers import WorkerPool

_INPUTS = (1, 2, 3)
_CALLS = Code.model_validate({"entry_point": "double", "tests": [{"input": [n], "expected": 2 * n} for n in _INPUTS]})
_ASSERTIONS = Code(test_source="\n".join(f"assert double({n}) == {2 * n}" for n in _INPUTS))
_ASKED = f"import json\nprint(json.dumps([double(n) for n in {_INPUTS}]))"


def _programs(count: int) -> list[str]:
    """All different, so that each is run."""
    return [f"def double(x):\n    return 2 * x + {n} - {n}" for n in range(count)]


async def _verdicts(config: Code, sandbox: Sandbox, workers: WorkerPool, count: int) -> None:
    verifier = config.build(Resources(workers, {}, sandbox=sandbox))
    candidates = [Candidate(f"```python\n{program}\n```") for program in _programs(count)]
    verdicts = await verifier.verify(Problem(({"role": "user", "content": "Double a number."},)), candidates)
    assert all(verdict.passed for verdict in verdicts), verdicts[0]


async def _fresh(sandbox: Sandbox, count: int) -> None:
    python = await sandbox.interpreter()

    async def judge(program: str) -> None:
        files = {"program.py": f"{program}\n{_ASKED}".encode()}
        outcome = await sandbox.run(Job((python.path, "-EsB", "program.py"), files, readable=python.folders))
        assert json.loads(outcome.stdout) == [2 * n for n in _INPUTS], outcome

    await asyncio.gather(*map(judge, _programs(count)))


async def _rate(work: Callable[[int], Awaitable[None]], count: int) -> float:
    start = time.perf_counter()
    await work(count)
    return count / (time.perf_counter() - start)


async def _measure(rounds: int, seconds: float) -> tuple[str, dict[str, list[float]]]:
    """Verdicts in a second, by how they are made, in each round."""
    sandbox, cold, workers = Sandbox(), Sandbox(SandboxConfig(warm=False)), WorkerPool(processes=1)
    ways: dict[str, Callable[[int], Awaitable[None]]] = {
        "calls, warm": lambda count: _verdicts(_CALLS, sandbox, workers, count),
        "calls, fresh": lambda count: _verdicts(_CALLS, cold, workers, count),
        "tests as source, warm": lambda count: _verdicts(_ASSERTIONS, sandbox, workers, count),
        "fresh interpreters": lambda count: _fresh(sandbox, count),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    try:
        described = await sandbox.describe()
        counts = {name: max(10, int(seconds * await _rate(work, 20))) for name, work in ways.items()}
        for _ in range(rounds):
            for name, work in ways.items():
                rates[name].append(await _rate(work, counts[name]))
    finally:
        await sandbox.close()
        await cold.close()
        workers.close()
    return described, rates


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the median and the best are told.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="About so long for each way in each round.")] = 2.0,
) -> None:
    """Measure verdicts on tiny Python programs, warm and by fresh interpreters."""
    described, rates = asyncio.run(_measure(rounds, seconds))
    columns = ("calls, fresh", "fresh interpreters")
    table = Table("verdicts", "median /s", "best /s", *(f"times {name}" for name in columns), title=described)
    for name, found in rates.items():
        ratios = [median(one / other for one, other in zip(found, rates[way], strict=True)) for way in columns]
        table.add_row(name, f"{median(found):.0f}", f"{max(found):.0f}", *(f"{ratio:.1f}" for ratio in ratios))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
