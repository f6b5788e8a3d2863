from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio

from deliberate.engines.marks import MarkScorer
from deliberate.engines.scripted import ScriptedEngine
from deliberate.verifiers.protocol import Problem, Resources
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.workers import WorkerPool


@pytest.fixture(scope="session")
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool(processes=2)
    yield pool
    pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def warm(workers: WorkerPool) -> AsyncGenerator[Resources]:
    """Resources with boxes that stay warm, for modules whose tests share one event loop."""
    boxes = Sandbox()
    yield Resources(workers, {}, sandbox=boxes)
    await boxes.close()


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    boxes = Sandbox()
    yield boxes
    await boxes.close()


@pytest.fixture
def resources(workers: WorkerPool, sandbox: Sandbox) -> Resources:
    engines = {"policy": ScriptedEngine(["ok"]), "scorer": ScriptedEngine(["ok"])}
    scorers = {"marks": MarkScorer(ScriptedEngine(["ok"]), *b"+-")}
    return Resources(
        workers, engines, policy="policy", scorer="scorer", scorers=scorers, reward_model="marks", sandbox=sandbox
    )


@pytest.fixture
def problem() -> Problem:
    return Problem(({"role": "user", "content": "What is 40 + 2?"},))
