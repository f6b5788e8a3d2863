"""Starts one program under limits, and leaves nothing of it behind: tiers B and D.

Called with the box as JSON. It drops what the program must not have, waits for it or for the leash (a pipe that its
maker closes, also by dying), kills everything the program started, and exits with its status: 128 + n for signal n.
Imports nothing but the standard library and its neighbours.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
from typing import Any

import landlock
import seccomp
from statuses import exit_status

_SUBREAPER, _PARENT_DEATH_SIGNAL = 36, 1


def main(box: dict[str, Any]) -> int:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        try:
            _become(box)
        except OSError as error:
            os.write(2, f"the box could not be closed: {error}\n".encode())
        os._exit(126)
    _let_go(box["leash"])
    exited = os.pidfd_open(child)
    ready, _, _ = select.select([exited, box["leash"]], [], [])
    if exited not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    _sweep(box["uid"])
    return exit_status(os.waitstatus_to_exitcode(status))


def _become(box: dict[str, Any]) -> None:
    """Turn into the program. Raises OSError where anything of the box is missing."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    os.chdir(box["folder"])
    for name, limit in box["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if box["uid"] is not None:
        os.setgroups([])
        os.setresgid(box["uid"], box["uid"], box["uid"])
        os.setresuid(box["uid"], box["uid"], box["uid"])
    os.umask(0o077)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in box["kept"]:
            _close(number)
    if box["closed"]:
        landlock.restrict([*box["readable"], "/dev/zero", "/dev/urandom", "/dev/random"], [box["folder"], "/dev/null"])
        seccomp.install(seccomp.program())
    os.execvpe(box["command"][0], box["command"], box["environment"])


def _close(number: int) -> None:
    with contextlib.suppress(OSError):
        os.close(number)


def _let_go(leash: int) -> None:
    """Hold nothing that the program's reader waits for the end of."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number != leash:
            _close(number)


def _sweep(uid: int | None) -> None:
    """Kill and reap all that is left, wherever it hid: orphans come to this process."""
    while True:
        if uid is not None:
            _kill_all_of(uid)
        for child in _children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return list(map(int, file.read().split()))


def _kill_all_of(uid: int) -> None:
    """At once, so that nothing can fork faster than it dies."""
    killer = os.fork()
    if killer == 0:
        os.setresuid(uid, uid, uid)
        try:
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(killer, 0)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
