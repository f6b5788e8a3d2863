"""Runs one program compiled to WebAssembly in this process, as a user who owns nothing else: tier C.

Called with `run` and the box as JSON, or `compile`, a program for WebAssembly and where its machine code is to go. The
exit status is the program's, or 134 where it was stopped for what it did, as for one that aborts. Imports nothing but
wasmtime and the standard library.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

from wasmtime import (
    Caller,
    Config,
    Engine,
    ExitTrap,
    Func,
    FuncType,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    WasiConfig,
    WasmtimeError,
)

_PARENT_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_STACK_BYTES = 2 << 20
"""The most that wasmtime gives; CPython stops its own recursion before."""
_ABORTED = 128 + signal.SIGABRT
_CHANNEL = 1000
"""The number that programs know their socket by."""
_SUCCESS, _BAD_FILE, _FAULT, _BROKEN_PIPE = 0, 8, 21, 64
"""WASI's error numbers."""
_LONGEST = 1 << 20


def compile_to(source: str, target: str) -> None:
    """Translate a program to machine code."""
    code = Module.from_file(_engine(), source).serialize()
    part = f"{target}.{os.getpid()}"
    with open(part, "wb") as file:
        file.write(code)
    os.replace(part, target)


def run(box: dict[str, Any]) -> int:
    """Run the program in the box to its end; its exit status."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    engine = _engine()
    module = Module.deserialize_file(engine, box["compiled"])
    linker = Linker(engine)
    linker.define_wasi()
    if box["channel"] is not None:
        Channel(box["channel"]).define(linker, module)
    store = Store(engine)
    store.set_limits(memory_size=box["memory"], instances=1, memories=1)
    store.set_wasi(_lent(box))
    _give_up(box)
    start = linker.instantiate(store, module).exports(store)["_start"]
    assert isinstance(start, Func)
    try:
        start(store)
    except ExitTrap as end:
        return end.code
    except (Trap, WasmtimeError) as error:
        os.write(2, f"\n{str(error)[-1000:]}\n".encode())
        return _ABORTED
    return 0


def _engine() -> Engine:
    config = Config()
    config.max_wasm_stack = _STACK_BYTES
    return Engine(config)


def _lent(box: dict[str, Any]) -> WasiConfig:
    """All that the program gets of this machine."""
    lent = WasiConfig()
    lent.argv = box["command"]
    lent.env = box["environment"].items()
    lent.inherit_stdin()
    lent.inherit_stdout()
    lent.inherit_stderr()
    for folder, name, writable in box["folders"]:
        lent.preopen_dir(folder, name, writable)
    return lent


def _give_up(box: dict[str, Any]) -> None:
    """What this process itself need not be able to do."""
    for name, limit in box["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if box["uid"] is not None:
        os.setgroups([])
        os.setresgid(box["uid"], box["uid"], box["uid"])
        os.setresuid(box["uid"], box["uid"], box["uid"])
    os.umask(0o077)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


class Channel:
    """One socket, for programs that otherwise have none: WASI's `sock_recv` and `sock_send`, for that number only."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)

    def define(self, linker: Linker, module: Module) -> None:
        """Take the place of the functions that would refuse."""
        linker.allow_shadowing = True
        functions = {"sock_recv": self._receive, "sock_send": self._send}
        for found in module.imports:
            if found.name in functions and isinstance(found.type, FuncType):
                linker.define_func(found.module, found.name, found.type, functions[found.name], access_caller=True)

    def _receive(
        self, caller: Caller, number: int, vectors: int, count: int, _flags: int, size_at: int, flags_at: int
    ) -> int:
        if number != _CHANNEL or count == 0:
            return _BAD_FILE
        memory = _memory(caller)
        start, size = _vector(memory, caller, vectors)
        try:
            data = self._socket.recv(min(size, _LONGEST))
        except OSError:
            return _BROKEN_PIPE
        return _write(memory, caller, (start, data), (size_at, _word(len(data))), (flags_at, bytes(2)))

    def _send(self, caller: Caller, number: int, vectors: int, count: int, _flags: int, size_at: int) -> int:
        if number != _CHANNEL or count == 0:
            return _BAD_FILE
        memory = _memory(caller)
        start, size = _vector(memory, caller, vectors)
        try:
            sent = self._socket.send(memory.read(caller, start, start + min(size, _LONGEST)))
        except OSError:
            return _BROKEN_PIPE
        return _write(memory, caller, (size_at, _word(sent)))


def _memory(caller: Caller) -> Memory:
    memory = caller["memory"]
    assert isinstance(memory, Memory)
    return memory


def _vector(memory: Memory, caller: Caller, address: int) -> tuple[int, int]:
    """Where it lies, and how long it is: nothing where the program points outside of its memory."""
    address &= 0xFFFFFFFF
    content = memory.read(caller, address, address + 8)
    return int.from_bytes(content[:4], "little"), int.from_bytes(content[4:], "little")


def _write(memory: Memory, caller: Caller, *parts: tuple[int, bytes]) -> int:
    try:
        for address, content in parts:
            memory.write(caller, content, address & 0xFFFFFFFF)
    except IndexError:
        return _FAULT
    return _SUCCESS


def _word(number: int) -> bytes:
    return number.to_bytes(4, "little")


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "compile":
        compile_to(*arguments)
    else:
        os._exit(run(json.loads(arguments[0])))
