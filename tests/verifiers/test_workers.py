import asyncio
import operator
import os
import subprocess
import sys
import time

import pytest

from deliberate.verifiers.workers import WorkerLost, WorkerPool


async def test_a_hanging_c_call_is_killed_and_the_next_job_runs(workers: WorkerPool) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await workers.run(0.3, pow, 9, 9**9)
    assert time.monotonic() - started < 60
    assert await workers.run(2.0, operator.add, 40, 2) == 42


async def test_waiting_for_a_process_does_not_count_against_the_limit(workers: WorkerPool) -> None:
    await asyncio.gather(*(workers.run(1.0, time.sleep, 0.3) for _ in range(10)))


async def test_a_cancelled_caller_frees_its_worker(workers: WorkerPool) -> None:
    sleepers = [asyncio.create_task(workers.run(60, time.sleep, 50)) for _ in range(2)]
    await asyncio.sleep(0.5)
    for sleeper in sleepers:
        sleeper.cancel()
    assert await asyncio.wait_for(workers.run(1.0, operator.add, 1, 1), 20) == 2


async def test_a_dying_worker_is_told_apart_from_a_slow_one(workers: WorkerPool) -> None:
    with pytest.raises(WorkerLost):
        await workers.run(2.0, os._exit, 3)
    assert await workers.run(2.0, operator.add, 1, 1) == 2


async def test_a_worker_that_dies_idle_is_replaced(workers: WorkerPool) -> None:
    os.kill(await workers.run(2.0, os.getpid), 9)
    await asyncio.sleep(0.5)
    assert await workers.run(2.0, operator.add, 1, 1) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
async def test_memory_is_bounded(workers: WorkerPool) -> None:
    with pytest.raises(MemoryError):
        await workers.run(5.0, bytearray, 4 << 30)


async def test_a_closed_pool_says_so() -> None:
    pool = WorkerPool(1)
    pool.close()
    with pytest.raises(WorkerLost, match="stopped"):
        await pool.run(1.0, operator.add, 1, 1)


def test_it_starts_from_a_command_line() -> None:
    program = (
        "import asyncio, operator; from deliberate.verifiers.workers import WorkerPool; pool = WorkerPool(1);"
        "print(asyncio.run(pool.run(2.0, operator.add, 40, 2))); pool.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "42"
