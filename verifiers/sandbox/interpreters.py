"""The Python that runs candidates' programs: one that the boxes' users can read."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deliberate.verifiers.sandbox.protocol import SandboxUnavailable


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter."""

    path: str
    folders: tuple[str, ...]
    """What it must be able to read beside `/usr`."""


@cache
def find_python(chosen: str | None) -> Interpreter:
    """The chosen interpreter, else the server's own, else the system's. Raises SandboxUnavailable."""
    candidates = [chosen] if chosen else [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is None:
            continue
        prefixes = _prefixes(path)
        if all(map(everybody_reads, [*prefixes, os.path.realpath(path)])):
            folders = {*prefixes, str(Path(path).parent)}
            return Interpreter(path, tuple(sorted(f for f in folders if not f.startswith("/usr/") and f != "/usr")))
    raise SandboxUnavailable(
        f"no Python interpreter that the boxes' users can read among {', '.join(candidates)}; install python3 "
        "system-wide, or name one by DELIBERATE_SANDBOX_PYTHON"
    )


def _prefixes(python: str) -> list[str]:
    script = "import sys; print(sys.prefix); print(sys.base_prefix)"
    found = subprocess.run((python, "-ESsB", "-c", script), capture_output=True, text=True, check=False, timeout=30)
    return sorted(set(found.stdout.split("\n")) - {""}) if found.returncode == 0 else ["/nowhere"]


def everybody_reads(path: str) -> bool:
    """Whether the boxes' users can read it: anybody where the server is root, else the server's own user."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK)
    try:
        return all(place.stat().st_mode & 0o5 == 0o5 for place in [Path(path), *Path(path).parents])
    except OSError:
        return False
