"""Warm interpreters: fresh for each program, quick, and replaced where a program left something."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.pool import PythonPool
from deliberate.verifiers.sandbox.protocol import MIB, Limits, Outcome

from .conftest import DRIVER

LIMITS = Limits(seconds=5.0, memory_bytes=128 * MIB)


@pytest.fixture
async def pool(boxes: Boxes) -> AsyncIterator[PythonPool]:
    pool = PythonPool(boxes, find_python(None), DRIVER, 2)
    yield pool
    await pool.close()


async def run(pool: PythonPool, source: str, limits: Limits = LIMITS, stdin: bytes = b"") -> Outcome:
    async with pool.child(limits) as child:
        child.send_messages(json.dumps(source).encode())
        child.send(stdin)
        child.close_input()
        return await child.outcome()


async def test_nothing_stays_from_one_program_to_the_next(pool: PythonPool) -> None:
    await run(pool, "import builtins, json, sys; builtins.left = 1; json.left = 1; sys.path.clear()")
    outcome = await run(
        pool, "import json, sys; print(hasattr(json, 'left'), 'left' in dir(__builtins__), bool(sys.path))"
    )
    assert outcome.stdout == b"False False True\n"


async def test_it_reads_its_input_and_writes_its_output(pool: PythonPool) -> None:
    outcome = await run(pool, "import sys; print(sys.stdin.read().upper()); sys.exit(7)", stdin=b"loud")
    assert (outcome.stdout, outcome.code, outcome.ended) == (b"LOUD\n", 7, "exited")


async def test_a_child_uses_threads_and_event_loops(pool: PythonPool) -> None:
    source = """
import asyncio, concurrent.futures
async def main():
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        return await asyncio.get_running_loop().run_in_executor(threads, sum, range(5))
print(asyncio.run(main()))
"""
    assert (await run(pool, source)).stdout == b"10\n"


async def test_memory_is_bounded(pool: PythonPool) -> None:
    outcome = await run(pool, "x = bytearray(200 << 20)")
    assert outcome.code == 1 and b"MemoryError" in outcome.stderr
    assert (await run(pool, "x = bytearray(64 << 20); print(len(x))")).succeeded


async def test_files_work_and_do_not_stay(pool: PythonPool) -> None:
    source = "import os, tempfile; print(os.listdir()); tempfile.NamedTemporaryFile(delete=False).write(b'x')"
    for _ in range(4):
        assert (await run(pool, source)).stdout == b"[]\n"


async def test_many_programs_at_once(pool: PythonPool) -> None:
    outcomes = await asyncio.gather(*(run(pool, f"print({number})") for number in range(40)))
    assert [int(outcome.stdout) for outcome in outcomes] == list(range(40))


async def test_a_cancelled_caller_ends_its_child(pool: PythonPool) -> None:
    endless = [asyncio.create_task(run(pool, "while True: pass", Limits(seconds=60))) for _ in range(4)]
    await asyncio.sleep(0.5)
    for task in endless:
        task.cancel()
    await asyncio.wait(endless)
    async with asyncio.timeout(20):
        assert (await run(pool, "print(1)")).stdout == b"1\n"


async def test_a_conversation_with_the_driver(boxes: Boxes, tmp_path: Path) -> None:
    driver = tmp_path / "echo.py"
    driver.write_text(
        "def serve(channel):\n"
        "    with channel.makefile('rwb') as lines:\n"
        "        for line in lines:\n"
        "            lines.write(line[::-1].lstrip() + b'\\n')\n"
        "            lines.flush()\n"
    )
    pool = PythonPool(boxes, find_python(None), driver, 1)
    async with pool.child(LIMITS) as child:
        for word in (b"abc", b"xyz"):
            child.send_messages(word)
            assert await child.message() == word[::-1]
    await pool.close()
