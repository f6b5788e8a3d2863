"""Hostile programs at every tier this machine gives, alone and driven: nothing may get out."""

import asyncio
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from deliberate.verifiers.sandbox.protocol import MIB, Limits, Outcome
from tests.verifiers.sandbox.attacks import ATTACKS, PRELUDE
from tests.verifiers.sandbox.conftest import SECONDS_TO_END, Runner
from tests.verifiers.sandbox.harm import LOOT, Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(
    seconds=1.0,
    memory_bytes=256 * MIB,
    address_space_bytes=512 * MIB,
    output_bytes=MIB,
    disk_bytes=8 * MIB,
    processes=32,
)
HARMLESS = """
import os
print(set(os.listdir(".")) - {"main.py"}, open("mine", "w").write("mine"))
os.unlink("mine")
"""
PATIENT = replace(LIMITS, seconds=20.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idle(runner: Runner) -> int:
    """How many processes there are at rest, once a program has run everywhere."""
    assert all(outcome.succeeded for outcome in await everywhere(runner, HARMLESS))
    await asyncio.sleep(0.5)
    return runner.processes()


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, runner: Runner):
    folder = tmp_path_factory.mktemp("bait")
    for place in (folder, *folder.parents):
        if place != Path("/") and place != Path("/tmp"):
            place.chmod(0o755)
    folder.chmod(0o777)
    with Host(folder, runner.boxes.ground.inside) as host:
        yield host


async def everywhere(runner: Runner, source: str) -> list[Outcome]:
    """Run a program at each place."""
    return await asyncio.gather(*(runner.run(source, PATIENT) for _ in range(runner.places)))


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attack(attack: str, runner: Runner, idle: int, host: Host) -> None:
    source = f"{PRELUDE}\nhost = {host.facts()!r}\n{textwrap.dedent(ATTACKS[attack])}"
    outcome = await runner.run(source, LIMITS)
    assert LOOT not in outcome.stdout
    assert host.loot.encode() not in outcome.stdout + outcome.stderr
    assert len(outcome.stdout) <= LIMITS.output_bytes and len(outcome.stderr) <= LIMITS.output_bytes
    await _gone(runner, idle)
    for after in await everywhere(runner, HARMLESS):
        assert after.stdout.strip().endswith(b"set() 4"), after
    if "late" in ATTACKS[attack]:
        await asyncio.sleep(1.5)
    assert host.harm() == []


async def _gone(runner: Runner, idle: int) -> None:
    """Wait until no more processes are left than there are at rest."""
    last = time.perf_counter() + SECONDS_TO_END
    while (left := runner.processes()) > idle:
        assert time.perf_counter() < last, f"{left} processes, at rest {idle}"
        await asyncio.sleep(0.02)
