"""What the ways to build a box have in common."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from deliberate.verifiers.sandbox.protocol import Job, Limits, Tier
from deliberate.verifiers.sandbox.slots import Slot

PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that starts a job in a box."""

    command: tuple[str, ...]
    inherited: tuple[int, ...]
    """Open files that the command inherits."""
    given: tuple[int, ...]
    """Those of them that are the box's own: closed here once it has started."""
    leash: int | None = None
    """Open file whose closing ends the box and all in it; None where killing the command does."""
    overhead_bytes: int = 0
    """Memory of what runs the program, beside the program's own."""


class Builder(Protocol):
    """A way to build boxes."""

    @property
    def tier(self) -> Tier: ...

    @property
    def programs_inside(self) -> str:
        """Where, within its boxes, the programs for inside are."""
        ...

    def launch(self, job: Job, slot: Slot, kept: Sequence[int] = ()) -> Launch:
        """How the job is started; `kept` are open files that it inherits."""
        ...


def place(slot: Slot, name: str, content: bytes) -> None:
    """Put a file into the slot's folder, for its user."""
    path = slot.folder / name
    with open(path, "xb") as file:
        file.write(content)
    if slot.uid is not None:
        os.chown(path, slot.uid, slot.uid)


def environment(job: Job, folder: str) -> dict[str, str]:
    """All that the program sees of an environment."""
    base = {"PATH": PATH, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "USER": "box"}
    return base | dict(job.environment)


def ulimits(limits: Limits) -> dict[str, int]:
    """Limits of each process, by the names that prlimit(1) and, as RLIMIT_*, getrlimit(2) use."""
    return {
        "as": limits.address_space,
        "core": 0,
        "cpu": ceil(limits.seconds) + 1,
        "fsize": limits.disk_bytes,
        "nofile": 256,
        "nproc": limits.processes,
    }
