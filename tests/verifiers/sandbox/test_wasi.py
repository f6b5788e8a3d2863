"""Python in WebAssembly: what it runs, what bounds it, and what is said of all else."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.fresh import FreshPythons
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.protocol import MIB, Job, Limits, Outcome, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig
from deliberate.verifiers.workers import WorkerPool

from .conftest import DRIVER

LIMITS = Limits(seconds=20.0, memory_bytes=128 * MIB, disk_bytes=4 * MIB)


async def run(boxes: Boxes, source: str, limits: Limits = LIMITS) -> Outcome:
    files = {"main.py": source.encode(), "given": b"a file"}
    command = (find_python(None).path, "-ESsB", "main.py", "an argument")
    return await boxes.run(Job(command, files, b"some input", limits, {"GIVEN": "here"}))


async def test_a_program_has_its_files_its_input_and_an_environment_of_its_own(python_boxes: Boxes) -> None:
    source = """
import os, sys
print(sys.argv[1], open("given").read(), sys.stdin.read(), os.environ["GIVEN"], len(os.environ), os.listdir("/"))
sys.exit(3)
"""
    outcome = await run(python_boxes, source)
    files = outcome.stdout.decode().partition("[")[2]
    assert outcome.stdout.startswith(b"an argument a file some input here 6 [")
    assert "main.py" in files and "given" in files and "etc" not in files
    assert (outcome.ended, outcome.code) == ("exited", 3)


async def test_memory_and_time_are_bounded_and_the_standard_library_is_there(python_boxes: Boxes) -> None:
    outcome = await run(python_boxes, "import dataclasses, decimal, re, sqlite3, unittest\nx = bytearray(200 << 20)")
    assert outcome.code == 1 and b"MemoryError" in outcome.stderr
    endless = await run(python_boxes, "while True: pass", Limits(seconds=2.0))
    assert endless.ended == "timeout" and endless.seconds < 10


async def test_a_trap_ends_the_program_alone(python_boxes: Boxes) -> None:
    outcome = await run(python_boxes, "import os; os.abort()")
    assert outcome.code == 134 and b"wasm trap" in outcome.stderr
    deep = await run(python_boxes, "import sys; sys.setrecursionlimit(10**9)\nf = lambda: f()\nf()")
    assert deep.ended == "exited" and not deep.succeeded
    assert (await run(python_boxes, "print(1)")).stdout == b"1\n"


async def test_no_other_programs_run(python_boxes: Boxes) -> None:
    with pytest.raises(SandboxUnavailable, match="tier C runs Python only, and not gcc"):
        await python_boxes.run(Job(("/usr/bin/gcc", "--version")))
    assert (await run(python_boxes, "print(1)")).succeeded


async def test_the_channel_is_the_only_socket(python_boxes: Boxes) -> None:
    """Numbers and addresses that a program makes up reach nothing of the process that it runs in."""
    pool = FreshPythons(python_boxes, find_python(None), DRIVER, 1)
    source = """
import socket
for number in range(3, 64):
    other = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
    for use in (lambda: other.send(b"out"), lambda: other.recv(8)):
        try: print("LOOT", use())
        except OSError: pass
    other.detach()
"""
    async with pool.child(LIMITS) as child:
        child.send_messages(json.dumps(source).encode())
        outcome = await child.outcome()
        assert await child.message() == b""
    await pool.close()
    assert (outcome.stdout, outcome.code) == (b"", 0)


@pytest.fixture
async def weak(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """What a host gives whose kernel closes nothing in."""
    original = Sandbox.boxes_of

    def boxes_of(self: Sandbox, tier: Tier) -> Boxes | str:
        return original(self, tier) if tier is Tier.C else "not on this host"

    monkeypatch.setattr(Sandbox, "boxes_of", boxes_of)
    sandbox = Sandbox(SandboxConfig(Tier.C))
    yield sandbox
    await sandbox.close()


async def test_code_is_judged_there(weak: Sandbox, workers: WorkerPool, problem: Problem) -> None:
    resources = Resources(workers, {}, sandbox=weak)
    right, wrong = "def twice(x):\n    return 2 * x", "def twice(x):\n    return x"
    candidates = [Candidate(f"```python\n{program}\n```") for program in (right, wrong, "def twice(x) return")]
    calls = Code.model_validate({"entry_point": "twice", "tests": [{"input": [4], "expected": 8}]})
    found = await calls.build(resources).verify(problem, candidates)
    assert [verdict.passed for verdict in found] == [True, False, False]
    assert await weak.describe() == (
        "Programs run in boxes of tier C. Tier A: not on this host. Tier B: not on this host."
    )
    asserted = Code.model_validate({"test_source": "assert twice(4) == 8\nassert twice(0) == 0"})
    found = await asserted.build(resources).verify(problem, candidates[:2])
    assert [verdict.score for verdict in found] == [1, 0.5]
    script = Candidate("```python\nprint(int(input()) * 2)\n```")
    streams = Code.model_validate({"tests": [{"stdin": "4\n", "stdout": "8"}]})
    assert [verdict.passed for verdict in await streams.build(resources).verify(problem, [script])] == [True]
    (other,) = await streams.build(resources).verify(problem, [Candidate("```c\nint main() { return 0; }\n```")])
    assert other.score is None and "tier C runs Python only" in other.reason


async def test_without_an_interpreter_the_reason_is_told() -> None:
    sandbox = Sandbox(SandboxConfig(Tier.C, wasi_python=Path("/nowhere/python.wasm")))
    assert sandbox.boxes_of(Tier.C) == "no Python for WebAssembly at /nowhere/python.wasm"
    await sandbox.close()


async def test_what_is_no_program_for_webassembly_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python.wasm").write_bytes(b"not WebAssembly")
    sandbox = Sandbox(SandboxConfig(Tier.C, wasi_python=tmp_path / "python.wasm"))
    assert "could not be compiled" in str(sandbox.boxes_of(Tier.C))
    await sandbox.close()
