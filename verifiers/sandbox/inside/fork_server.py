"""A Python interpreter that has imported what programs need and then forks: each child is closed in and serves once.

Called with the number of its control socket, the path of the driver (a module with `serve(channel)`), and what children
may read, as JSON. Over the control socket (datagrams of JSON) it is told {"run": id, limits…} with four open files —
standard input, output, error, and the channel — or {"kill": id}; it tells {"ready": true} once it can fork, and
{"ended": id, "code": status, "dirty": …}, where dirty means that the work folder is not empty any more. Imports nothing
but the standard library and its neighbours.
"""

import gc
import importlib.util
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import landlock
import seccomp

_PRELOAD = """abc array ast asyncio base64 bisect cmath collections contextlib copy csv dataclasses datetime decimal
enum fractions functools hashlib heapq io itertools json math numbers operator pathlib queue random re statistics
string struct tempfile textwrap threading time traceback typing unicodedata uuid zlib"""
_LARGEST_MESSAGE = 1 << 16
_FILES = 4
_SOMEBODY = 0x7EEDBEEF
"""Stands for the child's own number in the filter, which is made once."""

Serve = Callable[[socket.socket], None]


def main(control: socket.socket, serve: Serve, readable: list[str]) -> None:
    """Until the other end of the control socket closes."""
    children: dict[int, tuple[int, int]] = {}
    closed = _Closed(readable, seccomp.program(single_process=_SOMEBODY), _address_space())
    poll = select.poll()
    poll.register(control, select.POLLIN)
    control.send(json.dumps({"ready": True}).encode())
    while True:
        for number, _ in poll.poll():
            if number != control.fileno():
                poll.unregister(number)
                _tell(control, number, *children.pop(number))
                continue
            message, files, _, _ = socket.recv_fds(control, _LARGEST_MESSAGE, _FILES)
            if not message:
                return
            request = json.loads(message)
            if "run" in request:
                child = os.fork()
                if child == 0:
                    _run(control, files, request, serve, closed)
                for file in files:
                    os.close(file)
                handle = os.pidfd_open(child)
                children[handle] = (child, request["run"])
                poll.register(handle, select.POLLIN)
            else:
                for child, name in children.values():
                    if name == request["kill"]:
                        os.kill(child, signal.SIGKILL)


def _tell(control: socket.socket, handle: int, child: int, name: int) -> None:
    os.close(handle)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    with os.scandir(".") as entries:
        dirty = any(True for _ in entries)
    control.send(json.dumps({"ended": name, "code": code if code >= 0 else 128 - code, "dirty": dirty}).encode())


class _Closed(NamedTuple):
    """What closes a child in, beside its limits."""

    readable: list[str]
    filter: bytes
    mapped: int
    """Address space that a child starts with, in bytes."""


def _run(control: socket.socket, files: list[int], request: dict[str, Any], serve: Serve, closed: _Closed) -> None:
    """The child's whole life."""
    code = 1
    try:
        channel = socket.socket(fileno=_take_files(control, files))
        for name, limit in request["limits"].items():
            limit += closed.mapped if name == "RLIMIT_AS" else 0
            resource.setrlimit(getattr(resource, name), (limit, limit))
        landlock.restrict([*closed.readable, "/dev/urandom"], [".", "/dev/null"])
        seccomp.install(closed.filter.replace(struct.pack("I", _SOMEBODY), struct.pack("I", os.getpid())))
        serve(channel)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(code & 0xFF)


def _take_files(control: socket.socket, files: list[int]) -> int:
    """Put the files in their places and close all others."""
    control.close()
    for place, file in enumerate(files):
        os.dup2(file, 20 + place)
    for place in range(_FILES):
        os.dup2(20 + place, place)
    os.closerange(_FILES, 256)
    return _FILES - 1


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
    serve = _load(sys.argv[2])
    gc.freeze()
    main(socket.socket(fileno=int(sys.argv[1])), serve, json.loads(sys.argv[3]))
