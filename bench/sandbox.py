"""How long it takes to run one trivial Python program, in boxes of each tier that this host gives.

With all it takes to start a box and end it. The tiers take turns, so that what else the machine does weighs on all.
"""

import asyncio
import time
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.protocol import Job, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox


async def _measure(rounds: int) -> dict[Tier, list[float]]:
    """Milliseconds of each run."""
    sandbox, python = Sandbox(), find_python(None)
    job = Job((python.path, "-ESsBc", "print(1)"), readable=python.folders)
    given = {tier: boxes for tier in Tier if isinstance(boxes := sandbox.boxes_of(tier), Boxes)}
    taken: dict[Tier, list[float]] = {tier: [] for tier in given}
    for _ in range(rounds):
        for tier, boxes in given.items():
            start = time.perf_counter()
            outcome = await boxes.run(job)
            assert outcome.stdout == b"1\n", outcome
            taken[tier].append((time.perf_counter() - start) * 1000)
    await sandbox.close()
    return taken


def main(rounds: Annotated[int, typer.Option(min=1, help="Runs in each tier.")] = 20) -> None:
    """Measure one trivial run in each tier."""
    table = Table("tier", "median ms", "best ms")
    for tier, found in asyncio.run(_measure(rounds)).items():
        table.add_row(tier, f"{median(found):.0f}", f"{min(found):.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
