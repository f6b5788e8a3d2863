"""A Python interpreter that has imported what programs need, closes itself in, and then forks: each child serves once.

Called with the number of its control socket, the path of the driver (a module with `serve(channel)`), and what children
may read, as JSON. Over the control socket (datagrams of JSON) it is told {"limits": …} with open files: the channel, or
standard input, output, error and the channel. It tells {"ready": true} once it can fork, and {"code": status,
"dirty": …} of each child, where dirty means that the child left processes or files behind. Children inherit what closes
it in: nobody in the box signals anybody. Imports nothing but the standard library and its neighbours.
"""

import ctypes
import gc
import importlib.util
import json
import os
import resource
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import landlock
import seccomp
from statuses import exit_status

# Not threading, nor what imports it, such as asyncio: each fork would cost half a millisecond more. Nor random, which
# seeds itself anew in every child; nor what is large and seldom used, such as hashlib, decimal and pathlib.
_PRELOAD = """abc array ast base64 bisect cmath collections contextlib copy dataclasses datetime enum functools heapq io
itertools json math numbers operator re string struct textwrap time traceback typing"""
_LARGEST_MESSAGE = 1 << 16
_CHANNEL = 3
_SUBREAPER = 36

Serve = Callable[[socket.socket], None]


def main(control: socket.socket, serve: Serve, readable: list[str]) -> None:
    """One child after the other, until the other end of the control socket closes."""
    mapped = _address_space()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    landlock.restrict([*readable, "/dev/urandom"], [".", "/dev/null"])
    seccomp.install(seccomp.program(neighbours=True))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for place in range(_CHANNEL):
        os.dup2(nowhere, place)
    os.close(nowhere)
    gc.freeze()
    control.send(json.dumps({"ready": True}).encode())
    while True:
        message, files, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE, _CHANNEL + 1)
        if not message:
            return
        child = os.fork()
        if child == 0:
            _run(files, json.loads(message)["limits"], serve, mapped)
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        control.send(json.dumps({"code": exit_status(os.waitstatus_to_exitcode(status)), "dirty": _dirty()}).encode())


def _dirty() -> bool:
    """Whether the last child left anything: an orphan, which comes to this process, or a file."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        with os.scandir(".") as entries:
            return any(True for _ in entries)
    return True


def _run(files: list[int], limits: dict[str, Any], serve: Serve, mapped: int) -> None:
    """The child's whole life. `mapped` bytes of address space it has from the start."""
    code = 1
    try:
        channel = _take_files(files)
        for name, limit in limits.items():
            limit += mapped if name == "RLIMIT_AS" else 0
            resource.setrlimit(getattr(resource, name), (limit, limit))
        serve(channel)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(code & 0xFF)


def _take_files(files: list[int]) -> socket.socket:
    """Put the files in their places and close all others; the channel, which is the last."""
    # None lies below its place, and they ascend: no file takes the place of one that has yet to move.
    for place, file in enumerate(files, _CHANNEL + 1 - len(files)):
        os.dup2(file, place)
    os.closerange(_CHANNEL + 1, 256)
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, _CHANNEL)


def _address_space() -> int:
    """Of this process, in bytes: what a child starts with."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _load(path: str) -> Serve:
    specification = importlib.util.spec_from_file_location("driver", path)
    assert specification is not None and specification.loader is not None
    driver = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(driver)
    return driver.serve


if __name__ == "__main__":
    for module in _PRELOAD.split():
        importlib.import_module(module)
    main(socket.socket(fileno=int(sys.argv[1])), _load(sys.argv[2]), json.loads(sys.argv[3]))
