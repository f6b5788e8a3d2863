"""Hostile programs at every tier this machine gives, alone and driven: nothing may get out."""

import asyncio
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deliberate.verifiers.sandbox.protocol import MIB, Limits
from tests.verifiers.sandbox.attacks import ATTACKS, PRELUDE
from tests.verifiers.sandbox.conftest import SECONDS_TO_END, Runner
from tests.verifiers.sandbox.harm import LOOT, Host

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
PLACES = 2
"""Programs run in turns at each of so many places."""
PATIENT = replace(LIMITS, seconds=20.0)


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, runner: Runner):
    folder = tmp_path_factory.mktemp("bait")
    for place in (folder, *folder.parents):
        if place != Path("/") and place != Path("/tmp"):
            place.chmod(0o755)
    folder.chmod(0o777)
    with Host(folder, runner.boxes.ground.inside) as host:
        yield host


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attack(attack: str, runner: Runner, host: Host) -> None:
    source = f"{PRELUDE}\nhost = {host.facts()!r}\n{textwrap.dedent(ATTACKS[attack])}"
    for _ in range(PLACES):
        assert (await runner.run(HARMLESS, PATIENT)).succeeded
    await asyncio.sleep(0.1)
    idle = runner.processes()
    outcome = await runner.run(source, LIMITS)
    assert LOOT not in outcome.stdout
    assert host.loot.encode() not in outcome.stdout + outcome.stderr
    assert len(outcome.stdout) <= LIMITS.output_bytes and len(outcome.stderr) <= LIMITS.output_bytes
    await _gone(runner, idle)
    for _ in range(PLACES):
        after = await runner.run(HARMLESS, PATIENT)
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
