"""As many boxes at once as there are slots, all built in one way."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from deliberate.verifiers.sandbox.launching import Builder
from deliberate.verifiers.sandbox.process import BoxedProcess
from deliberate.verifiers.sandbox.protocol import Job, Outcome, Tier
from deliberate.verifiers.sandbox.slots import Ground, Slot
from deliberate.verifiers.sandbox.usage import exceeds

_MOST_FILES, _DEEPEST = 5_000, 64
"""In a work folder on the host's disk; one in memory is bounded by its size."""


class Boxes:
    """Boxes of one tier; who finds no slot free waits, and waiting counts against no limit."""

    def __init__(self, builder: Builder, ground: Ground, width: int) -> None:
        self.builder = builder
        self.ground = ground
        self._free: asyncio.Queue[Slot] = asyncio.Queue()
        for _ in range(width):
            self._free.put_nowait(ground.slot())
        self._cleaning: set[asyncio.Task[None]] = set()

    @property
    def tier(self) -> Tier:
        return self.builder.tier

    @asynccontextmanager
    async def open(self, job: Job, kept: tuple[int, ...] = ()) -> AsyncGenerator[BoxedProcess]:
        """Start a program and talk to it; leaving the context ends it. `kept` are open files that it inherits.

        Raises SandboxUnavailable.
        """
        slot = await self._free.get()
        try:
            process = self.start(job, slot, kept)
            try:
                yield process
            finally:
                await process.close()
        finally:
            self.clean(slot, lambda: self._free.put_nowait(slot))

    async def run(self, job: Job) -> Outcome:
        """Run a program to its end. Raises SandboxUnavailable."""
        async with self.open(job) as process:
            process.send(job.stdin)
            process.close_input()
            return await process.outcome()

    def start(self, job: Job, slot: Slot, kept: tuple[int, ...] = ()) -> BoxedProcess:
        """Start a program in a slot that the caller holds; `kept` are open files that it inherits."""
        folder, size = str(slot.folder), job.limits.disk_bytes
        launch = self.builder.launch(job, slot, kept)
        return BoxedProcess(launch, job.limits, lambda: exceeds(folder, size, _MOST_FILES, _DEEPEST))

    def clean(self, slot: Slot, then: Callable[[], None]) -> None:
        """Remove what a program left in the slot's folder, then go on; nobody else waits for that."""

        async def clean() -> None:
            try:
                await asyncio.to_thread(_empty, slot)
            finally:
                then()

        task = asyncio.create_task(clean())
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def close(self) -> None:
        """Wait until all folders are clean."""
        await asyncio.gather(*self._cleaning)


def _empty(slot: Slot) -> None:
    with contextlib.suppress(FileNotFoundError):  # The sandbox was closed meanwhile.
        if not any(slot.folder.iterdir()):
            return
        # However deep it nests: find does not recurse by calls.
        subprocess.run(("find", str(slot.folder), "-mindepth", "1", "-delete"), check=False, capture_output=True)
