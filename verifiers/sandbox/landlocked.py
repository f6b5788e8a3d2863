"""Tiers B and D: a program under limits, closed in by Landlock and a filter of system calls, or not closed in."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deliberate.verifiers.sandbox.launching import Launch, environment, place, ulimits
from deliberate.verifiers.sandbox.protocol import Job, Tier
from deliberate.verifiers.sandbox.slots import Slot

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/proc/self")


@dataclass(frozen=True, slots=True)
class Landlocked:
    """Starts jobs by the program `launch.py`, in the slot's folder."""

    python: str
    programs: Path
    """The programs for inside of boxes."""
    tier: Literal[Tier.B, Tier.D] = Tier.B

    @property
    def programs_inside(self) -> str:
        return str(self.programs)

    def launch(self, job: Job, slot: Slot, kept: Sequence[int] = ()) -> Launch:
        """How the job is started; `kept` are open files that it inherits."""
        for name, content in job.files.items():
            place(slot, name, content)
        leash, held = os.pipe()
        box = {
            "uid": slot.uid,
            "folder": str(slot.folder),
            "closed": self.tier is Tier.B,
            "readable": [*_SYSTEM, *job.readable, str(self.programs)],
            "limits": {f"RLIMIT_{name.upper()}": value for name, value in ulimits(job.limits).items()},
            "command": job.command,
            "environment": environment(job, str(slot.folder)),
            "kept": list(kept),
            "leash": leash,
        }
        command = (self.python, "-ESsB", str(self.programs / "launch.py"), json.dumps(box))
        return Launch(command, (leash, *kept), (leash,), held)
