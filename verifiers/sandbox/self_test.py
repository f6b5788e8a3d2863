"""Live canaries: what a box really keeps in on this host. A tier counts only when it stops all of them."""

import asyncio
import json
import os
import socket
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.interpreters import find_python
from deliberate.verifiers.sandbox.protocol import MIB, Job, Limits, SandboxUnavailable, Tier

_LIMITS = Limits(seconds=10.0, memory_bytes=128 * MIB, address_space_bytes=512 * MIB, disk_bytes=8 * MIB, processes=24)
_SECONDS_TO_DIE = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the self-test found of one tier."""

    tier: Tier
    escapes: tuple[str, ...] = ()
    """What a program in such a box could do and must not."""
    missing: str = ""
    """Why there are no such boxes here; empty when there are."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Such boxes hold. Tier D claims to hold nothing: there it is enough that programs run."""
        return not self.missing and (not self.escapes or self.tier is Tier.D)

    def describe(self) -> str:
        """In a phrase."""
        if self.missing:
            return self.missing
        return f"lets through: {', '.join(self.escapes)}" if self.escapes else "holds"


async def examine(tier: Tier, boxes: Boxes | str, python: str | None = None) -> Finding:
    """Try to break out of such a box, by a program for that interpreter, or for any. `boxes` may be the reason why
    there are none."""
    if isinstance(boxes, str):
        return Finding(tier, missing=boxes)
    started = time.perf_counter()
    try:
        escapes = await _Canary(boxes, python).escapes()
    except SandboxUnavailable as error:
        return Finding(tier, missing=str(error))
    return Finding(tier, tuple(escapes), seconds=time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _Canary:
    boxes: Boxes
    python: str | None

    async def escapes(self) -> list[str]:
        with ExitStack() as held:
            host = await asyncio.to_thread(_host, held)
            reached = await self._run("reach", json.dumps(host))
            mark = f"canary-{os.getpid()}-{time.monotonic_ns()}"
            await self._run("survive", mark)
            escapes: list[str] = json.loads(reached) if reached.startswith("[") else []
            if not reached.startswith("["):
                raise SandboxUnavailable(f"programs do not run: {reached or 'no output'}")
            escapes += ["daemons"] if await asyncio.to_thread(_stays, mark) else []
        escapes += ["disks filled"] if await self._run("disk") == "filled" else []
        escapes += ["memory without bound"] if await self._run("memory") == "taken" else []
        escapes += ["forks without bound"] if await self._run("processes", str(_LIMITS.processes)) == "forked" else []
        return escapes

    async def _run(self, *arguments: str) -> str:
        """What the canary printed; else the end of what it complained of."""
        python = find_python(self.python)
        program = Path(__file__).parent / "inside" / "canary.py"
        job = Job(
            (python.path, "-ESsB", "canary.py", *arguments),
            {"canary.py": program.read_bytes()},
            limits=_LIMITS,
            readable=python.folders,
        )
        outcome = await self.boxes.run(job)
        return (outcome.stdout.strip() or outcome.stderr.strip()[-300:]).decode(errors="replace")


def _host(held: ExitStack) -> dict[str, Any]:
    """Things of the host's, made to be tried, until `held` is left."""
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="deliberate-canary-")))
    folder.chmod(0o777)
    secret = folder / "secret"
    secret.write_text("for nobody's eyes")
    secret.chmod(0o644)
    listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    return {
        "port": listener.getsockname()[1],
        "secret": str(secret),
        "folder": str(folder),
        "process": os.getpid(),
    }


def _stays(mark: str) -> bool:
    """Whether a process with that word in its command line goes on running; the kernel may take a while to end it."""
    last = time.monotonic() + _SECONDS_TO_DIE
    while alive := _alive(mark):
        if time.monotonic() > last:
            break
        time.sleep(0.01)
    return alive


def _alive(mark: str) -> bool:
    """Whether a process with that word in its command line runs."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    return True
            except OSError:  # It ended.
                continue
    return False
