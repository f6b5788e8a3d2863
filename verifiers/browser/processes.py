"""What a tree of processes takes of the machine, as Linux tells in /proc."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> list[int]:
    """The process and all below it; only itself where there is no /proc."""
    children: dict[int, list[int]] = {}
    for process, fields in _all():
        children.setdefault(int(fields[1]), []).append(process)
    found = [root]
    for process in found:
        found.extend(children.get(process, ()))
    return found


def cpu_seconds(processes: Iterable[int]) -> float:
    """Seconds of all processors that these took so far."""
    return sum(int(fields[11]) + int(fields[12]) for fields in map(_fields, processes) if fields) / _TICKS_PER_S


def private_bytes(process: int) -> int:
    """Memory that is not a file's: what the process wrote, and shares with others it wrote it for."""
    with suppress(OSError):
        lines = (_PROC / str(process) / "status").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return 0


def kill(process: int) -> None:
    """End a process at once, if it has not ended."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        fields = _fields(int(entry.name)) if entry.name.isdigit() else []
        if fields:
            yield int(entry.name), fields


def _fields(process: int) -> list[str]:
    """Of /proc/PID/stat, from the state on: the name before it may hold anything."""
    with suppress(OSError):
        return (_PROC / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


def role(process: int) -> str:
    """Which part of Chromium it is, such as `renderer` (which holds pages) or `gpu-process`; "" for other programs."""
    with suppress(OSError):
        arguments = (_PROC / str(process) / "cmdline").read_bytes()
        return arguments.partition(b"--type=")[2].split(b"\0")[0].split(b" ")[0].decode(errors="replace")
    return ""
