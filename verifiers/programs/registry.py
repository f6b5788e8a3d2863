"""Languages by name and by what marks their code fences."""

from deliberate.verifiers.programs.languages.c_family import C, Cpp
from deliberate.verifiers.programs.languages.go import Go
from deliberate.verifiers.programs.languages.java import Java
from deliberate.verifiers.programs.languages.javascript import JavaScript, TypeScript
from deliberate.verifiers.programs.languages.rust import Rust
from deliberate.verifiers.programs.languages.table import TABLE
from deliberate.verifiers.programs.protocol import Language

PYTHON = frozenset({"python", "python3", "py", "py3", "pycon"})
"""Fence names of the language that runs in warm interpreters."""
LANGUAGES: tuple[Language, ...] = (C(), Cpp(), Rust(), Java(), JavaScript(), TypeScript(), Go(), *TABLE)
"""All others."""

FENCE_NAMES: frozenset[str] = PYTHON.union(*(language.fence_names for language in LANGUAGES))


def find_language(name: str) -> Language | None:
    """By any of its fence names; None for Python. Raises KeyError."""
    if name in PYTHON:
        return None
    by_name = {fence_name: language for language in LANGUAGES for fence_name in language.fence_names}
    return by_name[name]
