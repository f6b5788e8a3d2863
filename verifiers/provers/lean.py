"""Lean 4: the statement in a file, the candidate in another, and a program of the host's that holds one to the other.

A candidate's macros and attributes come along with its compiled file, so that no text after its import means what it
says: the program reads the file as data, and has the kernel take all of it anew.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from deliberate.verifiers.protocol import Judges
from deliberate.verifiers.provers.installed import installed, outside_usr
from deliberate.verifiers.provers.protocol import Bench, Opened, Prover, Ruling, Script, Statement, Undecidable
from deliberate.verifiers.provers.reasons import failure, shown
from deliberate.verifiers.sandbox.protocol import MIB, Outcome

_SOURCE = "get it by elan, https://lean-lang.org"
_PROGRAM = Path(__file__).parent / "lean_check.lean"
_GOAL = """{imports}
{opening}
{definitions}
def _root_.Host.goal : Prop := ({goal})
"""
# Of the program itself: it must take a proof from this Lean, and tell what it rests on.
_CANARY = "import Goal\naxiom unproved : True\ntheorem known : True := unproved\n"
_CANARY_SAYS = b"accepted, by unproved\n"
_RESERVED = 64 * 1024 * MIB
"""Of address space: compiled libraries are mapped into it whole."""
_IMPORT = re.compile(r"^[ \t]*import[ \t]+\S.*$", re.MULTILINE)
_DECLARES = re.compile(
    r"^(?:@\[[^\]\n]*\]\s*)?(?:(?:private|protected|noncomputable|unsafe|partial|nonrec)\s+)*"
    r"(?:theorem|lemma|def|abbrev|instance|structure|inductive|class|axiom|opaque|namespace|section|macro|elab|syntax)\b",
    re.MULTILINE,
)
_BY = re.compile(r"\A(?:\s*:=)?\s*by\b[ \t]*\n?")
_ACCEPTED = re.compile(r"accepted, by ?(.*)\n", re.ASCII)


class Lean(Prover):
    """Lean 4."""

    name = "lean"
    languages = ("lean", "lean4")
    judges = Judges.OUTCOME
    usual_axioms = ("propext", "Classical.choice", "Quot.sound")

    async def open(self, statement: Statement, bench: Bench) -> Opened:
        tools = await asyncio.to_thread(_tools, bench)
        await tools.examine()
        imports, opening = _parted(statement.imports)
        text = _GOAL.format(
            imports=imports, opening=opening, definitions=statement.definitions, goal=statement.goal.strip()
        )
        outcome = await tools.compile("Goal", text, {})
        if outcome.ended == "timeout":
            raise Undecidable(f"Lean did not read the goal in {bench.limits.seconds:g} s", "timeout")
        if not outcome.succeeded:
            raise Undecidable(f"Lean does not accept the goal itself: {_complaint(outcome)}")
        return _Goal(tools, statement, outcome.stdout)


def _tools(bench: Bench) -> "_Tools":
    """By Lean's own word on where it lies: what is on the PATH may only choose among several."""
    lean = installed("lean", _SOURCE)
    asked = subprocess.run((lean, "--print-prefix"), capture_output=True, text=True, check=False, timeout=60)
    prefix = asked.stdout.strip()
    if asked.returncode or not prefix:
        raise Undecidable(f"lean does not say where it is installed: {shown(asked.stderr)}")
    libraries = tuple(folder for folder in os.environ.get("LEAN_PATH", "").split(":") if os.path.isabs(folder))
    readable = [place for folder in (prefix, *libraries) for place in outside_usr(folder)]
    return _Tools(bench, f"{prefix}/bin/lean", ":".join((".", *libraries)), tuple(readable))


@dataclass(frozen=True, slots=True)
class _Tools:
    bench: Bench
    lean: str
    search_path: str
    readable: tuple[str, ...]

    async def compile(self, module: str, text: str, beside: Mapping[str, bytes]) -> Outcome:
        """Standard output is the compiled file; what Lean says is in standard error."""
        script = f"{quote(self.lean)} -o {module}.olean {module}.lean >&2 && exec /bin/cat {module}.olean"
        return await self._run(script, {f"{module}.lean": text.encode(errors="replace"), **beside})

    async def check(self, name: str, beside: Mapping[str, bytes]) -> Outcome:
        """Standard output is what the host's program says."""
        script = f"exec {quote(self.lean)} --run Check.lean {quote(name)}"
        program = await asyncio.to_thread(_PROGRAM.read_bytes)
        return await self._run(script, {"Check.lean": program, **beside})

    async def examine(self) -> None:
        """Raises Undecidable where the host's program does not work with this version of Lean."""
        goal = await self.compile("Goal", "def Host.goal : Prop := True\n", {})
        candidate = await self.compile("Cand", _CANARY, {"Goal.olean": goal.stdout})
        checked = await self.check("known", {"Goal.olean": goal.stdout, "Cand.olean": candidate.stdout})
        if checked.stdout != _CANARY_SAYS:
            failed = next((one for one in (goal, candidate, checked) if not one.succeeded), checked)
            raise Undecidable(f"proofs cannot be checked by this Lean: {_complaint(failed)}")

    async def _run(self, script: str, files: Mapping[str, bytes]) -> Outcome:
        environment = {"LEAN_PATH": self.search_path}
        return await self.bench.run(
            script, files, self.readable, environment=environment, address_space_bytes=_RESERVED
        )


@dataclass(frozen=True, slots=True)
class _Goal:
    tools: _Tools
    statement: Statement
    compiled: bytes

    async def rule(self, script: Script) -> Ruling:
        if not script.code.strip():
            return Ruling(False, "no proof found")
        outcome = await self.tools.compile("Cand", self._source(script.code), {"Goal.olean": self.compiled})
        if not outcome.succeeded:
            return Ruling(False, _complaint(outcome))
        files = {"Goal.olean": self.compiled, "Cand.olean": outcome.stdout}
        checked = await self.tools.check(self.statement.name, files)
        if checked.ended == "timeout":
            raise Undecidable(f"the proof was not checked in {self.tools.bench.limits.seconds:g} s", "timeout")
        return self._read(checked)

    def _read(self, checked: Outcome) -> Ruling:
        said = _ACCEPTED.fullmatch(checked.stdout.decode(errors="replace"))
        if not checked.succeeded or said is None:
            return Ruling(False, _complaint(checked))
        refused = [axiom for axiom in said[1].split() if axiom not in self.statement.axioms]
        if refused:
            return Ruling(False, f"it rests on {shown(', '.join(refused))}")
        return Ruling(True, "the proof is accepted")

    def _source(self, code: str) -> str:
        """A file as it stands, or tactics as the proof of the goal. Lean wants all imports first."""
        definitions = self.statement.definitions.strip()
        imports, opening = _parted(self.statement.imports)
        own, rest = _parted(code.replace(definitions, "") if definitions else code)
        if not _DECLARES.search(rest):
            tactics = _BY.sub("", rest).strip("\n")
            indented = "\n".join(f"  {line}" for line in tactics.split("\n"))
            rest = f"theorem {self.statement.name} : ({self.statement.goal.strip()}) := by\n{indented}"
        return f"{imports}\n{own}\nimport Goal\n{opening}\n{rest}\n"


def _parted(text: str) -> tuple[str, str]:
    """The lines that import, and the rest of the text."""
    return "\n".join(_IMPORT.findall(text)), _IMPORT.sub("", text).strip("\n")


def _complaint(outcome: Outcome) -> str:
    """Lean says of an error where it is; the rest of what it says are warnings. A file that does not compile leaves
    nothing else on standard output."""
    said = (outcome.stderr + outcome.stdout).decode(errors="replace")
    _, found, error = said.partition(": error:")
    return failure(outcome, error if found else said, "Lean")
