"""What goes into a box and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

MIB = 1 << 20


class Tier(StrEnum):
    """How strong a box is. A stops all that the self-test tries, D next to nothing."""

    A = "A"
    """bubblewrap: namespaces of its own for files, processes, network and users, and a filter of system calls."""
    B = "B"
    """Landlock, a filter of system calls, and a user of its own where the server may change users."""
    C = "C"
    """WebAssembly: Python alone, on an interpreter that has no system calls."""
    D = "D"
    """Limits of time, memory and processes only. Files and network are open."""

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return list(Tier).index(self)


class SandboxUnavailable(Exception):
    """No box is to be had here; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use before it is killed."""

    seconds: float = 10.0
    """Wall time, from its start."""
    memory_bytes: int = 512 * MIB
    """Resident memory of all its processes together."""
    address_space_bytes: int | None = None
    """Of each process; None for the same as its memory. Runtimes that reserve more than they use need more."""
    output_bytes: int = 1 * MIB
    """Of standard output; of standard error this much is kept."""
    disk_bytes: int = 64 * MIB
    """Of the files in its work folder, which lies in memory where the tier can do so."""
    processes: int = 64
    """Processes and threads at once."""

    @property
    def address_space(self) -> int:
        """Bytes of address space of each process."""
        return self.address_space_bytes or self.memory_bytes


@dataclass(frozen=True, slots=True)
class Job:
    """A program to run in a box of its own. It starts in an empty work folder that is gone afterwards."""

    command: tuple[str, ...]
    """The program and its arguments. Paths in the work folder are relative."""
    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Put into the work folder, by file name."""
    stdin: bytes = b""
    limits: Limits = Limits()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Beside PATH, HOME, TMPDIR and LANG; nothing of the server's own is there."""
    readable: tuple[str, ...] = ()
    """Folders and files of the host that it may read, beside `/usr`."""


Ended: TypeAlias = Literal["exited", "timeout", "memory", "output", "disk"]
"""What ended a program: itself, or the limit that it broke."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a box. All of it is the program's word but `ended`, `code` and `seconds`."""

    ended: Ended
    code: int
    """Exit status; 128 + n where signal n ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def succeeded(self) -> bool:
        """It exited by itself, with status 0."""
        return self.ended == "exited" and self.code == 0
