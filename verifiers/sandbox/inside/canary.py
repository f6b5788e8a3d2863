"""Tries to get out of the box, in ways that do no harm where they succeed, and prints what it could do.

Called with what it should try: `reach` with a description of the host as JSON, `survive` with a word that marks the
daemon, `disk`, `memory`, or `processes` with how many are allowed.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

_NEW_USER_NAMESPACE = 0x10000000
_MIB = 1 << 20


def reach(host: dict[str, Any]) -> None:
    """Print the names of what could be done to the host."""

    def connect() -> None:
        socket.create_connection(("127.0.0.1", host["port"]), timeout=2).close()

    def read() -> None:
        with open(host["secret"]) as file:
            file.read()

    def write() -> None:
        with open(os.path.join(host["folder"], "written"), "w") as file:
            file.write("by the canary")

    def read_environment() -> None:
        with open(f"/proc/{host['process']}/environ", "rb") as file:
            file.read()

    def signal() -> None:
        os.kill(host["process"], 0)

    def become_root() -> None:
        import ctypes  # Not every Python has it.

        if ctypes.CDLL(None).unshare(_NEW_USER_NAMESPACE) != 0:
            raise OSError("refused")

    attempts: dict[str, Callable[[], None]] = {
        "the network": connect,
        "reading the host's files": read,
        "writing the host's files": write,
        "the server's environment": read_environment,
        "signals to the server": signal,
        "new user namespaces": become_root,
    }
    print(json.dumps([name for name, attempt in attempts.items() if _succeeds(attempt)]))


def survive() -> None:
    """Leave a daemon behind, which its command line makes known."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-ESsBc", "import time; time.sleep(30)", *sys.argv[2:]])
    time.sleep(0.1)


def disk() -> None:
    """Fill the work folder by small files."""
    for number in range(32):
        with open(f"file-{number}", "wb") as file:
            file.write(bytes(_MIB))
    time.sleep(1)
    print("filled")


def memory() -> None:
    """Take memory in several processes at once, each of them modest; where there is but one, in that."""
    if not hasattr(os, "fork"):
        taken = bytearray(256 * _MIB)
        taken[::4096] = b"1" * len(taken[::4096])
        time.sleep(1)
        print("taken")
        return
    for _ in range(4):
        if os.fork() == 0:
            taken = bytearray(64 * _MIB)
            taken[::4096] = b"1" * len(taken[::4096])
            time.sleep(1)
            os._exit(0)
    while _succeeds(os.wait):
        pass
    print("taken")


def processes(most: int) -> None:
    """Fork until it fails."""
    for _ in range(most + 1):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
    print("forked")


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, ImportError, AttributeError):  # It is refused, or there is nothing to do it with.
        return False
    return True


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "reach":
        reach(json.loads(arguments[0]))
    elif task == "processes":
        processes(int(arguments[0]))
    else:
        {"survive": survive, "disk": disk, "memory": memory}[task]()
