"""Compilers and interpreters of this machine, at work in boxes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from deliberate.verifiers.programs.protocol import CompileError, Executable
from deliberate.verifiers.sandbox.launching import PATH
from deliberate.verifiers.sandbox.protocol import MIB, Limits, Outcome, SandboxUnavailable
from deliberate.verifiers.sandbox.sandbox import Sandbox

ARTIFACT_BYTES = 32 * MIB
"""Of what a compiler may hand out."""
_DISK_BYTES, _PROCESSES = 256 * MIB, 256
"""Compilers get at least so much."""
_PATIENCE = 5
"""So many times its CPU time a compiler may take by the clock."""
_COMPLAINT_LINES, _COMPLAINT_BYTES = 8, 2_000
_NOT_STARTED = (126, 127)
"""Exit status of a shell that cannot start a program."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The programs that a language needs."""

    programs: tuple[str, ...]
    install: str
    """What a person does to have them."""
    path: str = PATH
    """Where they are looked for: where programs in boxes look."""

    def require(self) -> None:
        """Raises SandboxUnavailable where a program is missing."""
        missing = [name for name in self.programs if shutil.which(name, path=self.path) is None]
        if missing:
            raise SandboxUnavailable(f"{' and '.join(missing)} not found in {self.path or 'no folder'}; {self.install}")

    async def compile(self, compiler: Executable, sandbox: Sandbox, limits: Limits) -> bytes:
        """What the compiler hands out on its standard output.

        The limit of time is one of CPU time: that a machine is busy is not the candidate's fault.

        Raises CompileError, and SandboxUnavailable where the compiler is missing, does not start, or gets no time.
        """
        self.require()
        disk, processes = max(limits.disk_bytes, _DISK_BYTES), max(limits.processes, _PROCESSES)
        roomy = replace(limits, output_bytes=ARTIFACT_BYTES, disk_bytes=disk, processes=processes)
        patient = replace(roomy, seconds=_PATIENCE * limits.seconds)
        outcome = await sandbox.run(_within_cpu_time(compiler, limits.seconds).job(patient))
        if outcome.ended == "timeout":
            raise SandboxUnavailable(
                f"compiling took more than {patient.seconds:g} s, but not {limits.seconds:g} s of CPU time: this "
                "machine is too busy, or the compiler waits"
            )
        if outcome.ended != "exited":
            raise CompileError(f"compiling ended by its limit of {_limit(outcome, roomy)}")
        if outcome.code in _NOT_STARTED:
            raise SandboxUnavailable(f"{self.programs[0]} does not start in a box: {_complaint(outcome)}")
        if outcome.code != 0:
            raise CompileError(_complaint(outcome) or f"the compiler ended with status {outcome.code}")
        return outcome.stdout


def in_shell(script: str, files: Mapping[str, bytes], executable: Executable | None = None) -> Executable:
    """A script for sh beside those files, else like `executable`."""
    return replace(executable or Executable(()), command=("sh", "-c", script), files=files)


def _within_cpu_time(compiler: Executable, seconds: float) -> Executable:
    limited = ("sh", "-c", f'ulimit -t {ceil(seconds)}; exec "$@"', "sh", *compiler.command)
    return replace(compiler, command=limited)


def _complaint(outcome: Outcome) -> str:
    """The compiler's first lines: what comes later often follows from them."""
    text = (outcome.stderr.strip() or outcome.stdout.strip())[:_COMPLAINT_BYTES].decode(errors="replace")
    return "\n".join(text.splitlines()[:_COMPLAINT_LINES])


def _limit(outcome: Outcome, limits: Limits) -> str:
    amounts = {
        "memory": f"{limits.memory_bytes // MIB} MiB of memory",
        "output": f"{limits.output_bytes // MIB} MiB of output",
        "disk": f"{limits.disk_bytes // MIB} MiB of files",
    }
    return amounts[outcome.ended]
