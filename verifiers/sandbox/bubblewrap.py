"""Tier A: a box of namespaces, built by bubblewrap as an ordinary user."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deliberate.verifiers.sandbox.inside import seccomp
from deliberate.verifiers.sandbox.launching import Launch, environment, ulimits
from deliberate.verifiers.sandbox.protocol import Job, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.slots import Slot

WORK = "/work"
"""The work folder, within the box."""
PROGRAMS = "/programs"
"""The programs for inside, within the box."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Builds boxes by `bwrap`."""

    bwrap: str
    prlimit: str
    setpriv: str
    programs: Path
    """The programs for inside of boxes."""

    tier = Tier.A
    programs_inside = PROGRAMS

    def launch(self, job: Job, slot: Slot, kept: Sequence[int] = ()) -> Launch:
        """How the job is started; `kept` are open files that it inherits. Raises SandboxUnavailable."""
        filter_file = _in_memory("filter", _filter())
        sources = {name: _in_memory(name, content) for name, content in job.files.items()}
        placed = [word for name, source in sources.items() for word in ("--file", str(source), f"{WORK}/{name}")]
        limits = [f"--{name}={value}" for name, value in ulimits(job.limits).items()]
        command = [
            *as_user(self.setpriv, slot.uid),
            *(self.bwrap, "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--hostname", "box", "--die-with-parent", "--new-session"),
            *(word for path in _SYSTEM for word in _shown(path)),
            *(word for path in job.readable for word in _shown(path)),
            *("--ro-bind", str(self.programs), PROGRAMS),
            *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
            *("--size", str(job.limits.disk_bytes), "--tmpfs", WORK, *placed),
            *(() if _lies_in(job, "/tmp/") else ("--symlink", WORK, "/tmp")),
            *("--remount-ro", "/"),
            *("--seccomp", str(filter_file), "--chdir", WORK, "--clearenv"),
            *(word for item in environment(job, WORK).items() for word in ("--setenv", *item)),
            *("--", self.prlimit, *limits, "--", *job.command),
        ]
        given = (filter_file, *sources.values())
        return Launch(tuple(command), (*given, *kept), given)


def as_user(setpriv: str, uid: int | None) -> tuple[str, ...]:
    """What goes before a command to run it as that user. bwrap as root would map the host's root into the box."""
    if uid is None:
        return ()
    return (setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--")


def _filter() -> bytes:
    """Raises SandboxUnavailable."""
    try:
        return seccomp.program(namespaces=True)
    except OSError as error:
        raise SandboxUnavailable(str(error)) from error


def _shown(path: str) -> tuple[str, ...]:
    if os.path.islink(path):
        return ("--symlink", os.readlink(path), path)
    return ("--ro-bind-try", path, path)


def _lies_in(job: Job, folder: str) -> bool:
    """Whether something that the job may read lies there: then it is no link to the work folder."""
    return any(path.startswith(folder) for path in job.readable)


def _in_memory(name: str, content: bytes) -> int:
    """An open file that bwrap reads once, from its start."""
    number = os.memfd_create(name)
    with open(number, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(number, 0, os.SEEK_SET)
    return number
