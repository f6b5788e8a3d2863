"""Landlock (landlock(7)): a thread gives up, for good and for all it starts, what it may open.

Runs inside boxes too, so it imports nothing but the standard library.
"""

import ctypes
import os
import struct
from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_RIGHTS_BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Making, removing, writing and reading; linking; truncating; devices."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
_TCP = 0b11
"""Bind and connect, from version 4 on."""
_SCOPES = 0b11
"""Abstract sockets and signals, from version 6 on."""


def version() -> int:
    """Of the kernel's Landlock; 0 when it has none."""
    return max(0, _LIBC.syscall(_CREATE, None, 0, _VERSION))


def restrict(readable: Iterable[str], writable: Iterable[str] = ()) -> None:
    """Open from now on only what lies beneath these paths, whichever of them exist, and reach no network.

    Raises OSError when the kernel has no Landlock.
    """
    kernel = version()
    rights = 0
    for since, added in _RIGHTS_BY_VERSION:
        rights |= added if kernel >= since else 0
    attributes = struct.pack("QQQ", rights, _TCP if kernel >= 4 else 0, _SCOPES if kernel >= 6 else 0)
    size = 24 if kernel >= 6 else 16 if kernel >= 4 else 8
    rules = _LIBC.syscall(_CREATE, attributes, size, 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "the kernel has no Landlock")
    try:
        for path in readable:
            _allow(rules, path, rights & _READ)
        for path in writable:
            _allow(rules, path, rights)
        no_new_privileges = 38
        _LIBC.prctl(no_new_privileges, 1, 0, 0, 0)
        if _LIBC.syscall(_RESTRICT, rules, 0) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refused the Landlock rules")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & _OF_FILES
        if _LIBC.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, place), 0) != 0:
            raise OSError(ctypes.get_errno(), f"no Landlock rule for {path}")
    finally:
        os.close(place)
