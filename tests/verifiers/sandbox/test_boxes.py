"""What programs in boxes get and what comes out of them, at every tier this machine gives."""

import asyncio
from pathlib import Path

import pytest

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.protocol import MIB, Ended, Job, Limits, Tier
from deliberate.verifiers.sandbox.usage import exceeds

SHORT = Limits(
    seconds=1.0, memory_bytes=128 * MIB, address_space_bytes=1024 * MIB, output_bytes=64 * 1024, disk_bytes=MIB
)


def shell(script: str, limits: Limits = SHORT) -> Job:
    return Job(("/bin/sh", "-c", script), limits=limits)


async def test_a_program_has_its_files_its_input_and_an_environment_of_its_own(boxes: Boxes) -> None:
    job = Job(
        ("/bin/sh", "-c", 'cat given; cat; echo "$HOME $TMPDIR $GIVEN"; pwd; env | wc -l; echo complaint >&2; exit 3'),
        {"given": b"a file\n"},
        b"some input\n",
        environment={"GIVEN": "here"},
    )
    outcome = await boxes.run(job)
    file, text, variables, folder, count = outcome.stdout.decode().splitlines()
    assert (file, text) == ("a file", "some input")
    assert variables.split() == [folder, folder, "here"]
    assert int(count) <= 8
    assert outcome.stderr == b"complaint\n"
    assert (outcome.ended, outcome.code, outcome.succeeded) == ("exited", 3, False)


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("while :; do :; done", "timeout"),
        ("yes", "output"),
        ("i=0; while :; do i=$((i+1)); head -c 100000 /dev/zero > f$i || :; done", "disk"),
        ("exec 1>&- 2>&- 0<&-; sleep 60", "timeout"),
    ],
)
async def test_what_ends_a_program(boxes: Boxes, script: str, ended: Ended) -> None:
    outcome = await boxes.run(shell(script))
    if ended == "disk" and boxes.tier is Tier.A:  # There the folder is of that size, and no more fits in.
        assert outcome.ended == "timeout" and b"No space left" in outcome.stderr
        return
    assert outcome.ended == ended
    assert not outcome.succeeded


async def test_a_signal_counts_as_in_a_shell(boxes: Boxes) -> None:
    outcome = await boxes.run(shell("kill -SEGV $$"))
    assert (outcome.ended, outcome.code) == ("exited", 128 + 11)


async def test_output_is_kept_up_to_the_limit(boxes: Boxes) -> None:
    outcome = await boxes.run(shell("head -c 10000000 /dev/zero >&2; echo done"))
    assert outcome.stdout == b"done\n"
    assert len(outcome.stderr) == SHORT.output_bytes


async def test_memory_of_all_processes_counts_together(boxes: Boxes) -> None:
    hog = "python3 -ESsc 'x=bytearray(b\"1\")*(60<<20); import time; time.sleep(5)' & "
    outcome = await boxes.run(
        shell(hog * 4 + "wait", Limits(seconds=20, memory_bytes=128 * MIB, address_space_bytes=512 * MIB))
    )
    assert outcome.ended == "memory"


async def test_a_conversation(boxes: Boxes) -> None:
    async with boxes.open(shell("while read line; do echo got $line; done")) as process:
        for word in (b"one", b"two"):
            process.send(word + b"\n")
            assert await process.line() == b"got " + word
        process.close_input()
        assert await process.line() == b""
        assert (await process.outcome()).succeeded


async def test_leaving_a_conversation_ends_the_program(boxes: Boxes) -> None:
    async with boxes.open(shell("sleep 60", Limits(seconds=60))) as process:
        pass
    assert process.ended


async def test_a_cancelled_caller_frees_its_slot(boxes: Boxes) -> None:
    endless = [asyncio.create_task(boxes.run(shell("sleep 60", Limits(seconds=60)))) for _ in range(8)]
    await asyncio.sleep(0.2)
    for task in endless:
        task.cancel()
    await asyncio.wait(endless)
    async with asyncio.timeout(20):
        assert (await boxes.run(shell("echo free"))).stdout == b"free\n"


async def test_folders_start_empty(boxes: Boxes) -> None:
    for _ in range(5):
        outcome = await boxes.run(shell("ls -A; mkdir -p d; echo x > d/f; chmod 0 d"))
        assert outcome.stdout == b""


async def test_a_program_that_is_not_there(boxes: Boxes) -> None:
    outcome = await boxes.run(Job(("no-such-program",)))
    assert not outcome.succeeded
    assert b"no-such-program" in outcome.stderr


def test_folders_are_measured(tmp_path: Path) -> None:
    assert not exceeds(str(tmp_path), 0, 0, 1)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(100_000))
    assert not exceeds(str(tmp_path), MIB, 3, 3)
    assert exceeds(str(tmp_path), 50_000, 3, 3)
    assert exceeds(str(tmp_path), MIB, 2, 3)
    assert exceeds(str(tmp_path), MIB, 3, 2)
    (tmp_path / "link").symlink_to("/usr")
    assert not exceeds(str(tmp_path), MIB, 4, 3)
