import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.children import PythonChildren
from deliberate.verifiers.sandbox.fresh import FreshPythons
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.pool import PythonPool
from deliberate.verifiers.sandbox.protocol import Job, Limits, Outcome, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig

DRIVER = Path(__file__).parent / "running.py"
PLACES = 2
"""For boxes; a pool of one interpreter a box has as many, because while one ends the next one starts."""
SECONDS_TO_END = 10.0
"""For a program that reached its limits, and all that it started, to be gone."""


@dataclass(frozen=True)
class Runner:
    """Runs Python programs in boxes of one tier, each in a fresh interpreter or in a child of a warm one."""

    boxes: Boxes
    pool: PythonChildren | None
    places: int
    """Programs run in turns at each of so many."""

    async def run(self, source: str, limits: Limits) -> Outcome:
        """Fails where the program outlives its limits; the time to start a driver is none of its own."""
        longest = limits.seconds + SECONDS_TO_END
        if self.pool is None:
            job = Job((find_python(None).path, "-ESsB", "main.py"), {"main.py": source.encode()}, limits=limits)
            return await asyncio.wait_for(self.boxes.run(job), longest)
        async with self.pool.child(limits) as child:
            child.send_messages(json.dumps(source).encode())
            child.close_input()
            return await asyncio.wait_for(child.outcome(), longest)

    def processes(self) -> int:
        """How many there are of the boxes' users. What has ended and waits for init to take note does not count: some
        inits look every two seconds only."""
        uids = {slot.uid for slot in self.boxes.ground.slots}
        return sum(_owner(process) in uids for process in Path("/proc").glob("[0-9]*"))


def _owner(process: Path) -> int | None:
    try:
        if process.stat().st_uid == 0:  # By far the most.
            return None
        status = (process / "status").read_text()
        return None if "State:\tZ" in status and "PPid:\t1\n" in status else process.stat().st_uid
    except OSError:
        return None


@pytest.fixture(params=["A", "B"])
async def boxes(request: pytest.FixtureRequest) -> AsyncIterator[Boxes]:
    """Boxes of each tier that runs any program; a machine that lacks one fails here, because CI gives both."""
    async with _boxes(request.param) as boxes:
        yield boxes


@pytest.fixture
async def python_boxes() -> AsyncIterator[Boxes]:
    """Boxes of the tier that runs Python only; CI gives that too."""
    async with _boxes("C") as boxes:
        yield boxes


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["A-alone", "A-driven", "B-alone", "B-driven", "C-driven"]
)
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[Runner]:
    """The ways in which Python programs run: an interpreter alone, or one that a driver tells what to do. At tier C
    both are the same process, to which the driver only adds a channel. All programs of a module run at the same places,
    one after another."""
    tier, way = request.param.split("-")
    async with _boxes(tier) as boxes:
        if way == "alone":
            yield Runner(boxes, None, PLACES)
            return
        pool, places = (FreshPythons, 1) if tier == "C" else (PythonPool, PLACES)
        children = pool(boxes, find_python(None), DRIVER, 1)
        yield Runner(boxes, children, places)
        await children.close()


@asynccontextmanager
async def _boxes(tier: str) -> AsyncGenerator[Boxes]:
    sandbox = Sandbox(SandboxConfig(slots=PLACES))
    boxes = sandbox.boxes_of(Tier(tier))
    assert isinstance(boxes, Boxes), boxes
    yield boxes
    await sandbox.close()
