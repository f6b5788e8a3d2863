import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.pool import PythonPool
from deliberate.verifiers.sandbox.protocol import Job, Limits, Outcome, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox

DRIVER = Path(__file__).parent / "running.py"


@dataclass(frozen=True)
class Runner:
    """Runs Python programs in boxes of one tier, each in a fresh interpreter or in a child of a warm one."""

    boxes: Boxes
    pool: PythonPool | None

    async def run(self, source: str, limits: Limits) -> Outcome:
        if self.pool is None:
            job = Job((find_python(None).path, "-ESsB", "main.py"), {"main.py": source.encode()}, limits=limits)
            return await self.boxes.run(job)
        async with self.pool.child(limits) as child:
            child.send_message(json.dumps(source).encode())
            child.close_input()
            return await child.outcome()

    def processes(self) -> int:
        """How many there are of the boxes' users."""
        uids = {slot.uid for slot in self.boxes.ground.slots}
        return sum(_owner(name) in uids for name in os.listdir("/proc") if name.isdigit())


def _owner(process: str) -> int | None:
    try:
        return os.stat(f"/proc/{process}").st_uid
    except OSError:
        return None


@pytest.fixture(params=["A", "B"])
async def boxes(request: pytest.FixtureRequest) -> AsyncIterator[Boxes]:
    """Boxes of each strong tier; a machine that lacks one fails here, because CI gives both."""
    sandbox = Sandbox()
    boxes = sandbox.boxes_of(Tier(request.param))
    assert isinstance(boxes, Boxes), boxes
    yield boxes
    await sandbox.close()


@pytest.fixture(params=["fresh", "warm"])
async def runner(request: pytest.FixtureRequest, boxes: Boxes) -> AsyncIterator[Runner]:
    if request.param == "fresh":
        yield Runner(boxes, None)
        return
    pool = PythonPool(boxes, find_python(None), DRIVER, 1)
    yield Runner(boxes, pool)
    await pool.close()
