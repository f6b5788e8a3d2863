"""Coq: the statement in a file, the candidate in another, and a third, the host's, that takes the one for the other.

Each is compiled in a box of its own. The candidate's compiled file is not believed: `coqchk` types it anew, with
nothing switched off, and nothing that it states may be left without a proof.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from deliberate.verifiers.protocol import Judges
from deliberate.verifiers.provers import coq_reports as reports
from deliberate.verifiers.provers.coq_sentences import Source, write
from deliberate.verifiers.provers.installed import installed, outside_usr
from deliberate.verifiers.provers.protocol import Bench, Opened, Prover, Ruling, Script, Statement, Undecidable
from deliberate.verifiers.sandbox.protocol import Outcome

_GOAL = """{imports}
{definitions}
Definition the_goal := ({goal}).
Section Named.
Variable {name} : the_goal.
End Named.
"""
_HEADER = """{imports}
Require Import Task.Goal.
"""
# The statement as it was written: a constant in its place would have to be unfolded before it can be taken apart.
_THEOREM = "Theorem {name} : ltac:(let g := eval unfold Task.Goal.the_goal in Task.Goal.the_goal in exact g)."
# No Import: nothing that the candidate declares has a short name, a notation or a coercion here.
_CHECK = """Require Task.Goal Task.Cand.
Set Printing Width 1000000.
Definition accepted : Task.Goal.the_goal := Task.Cand.{name}.
Print Assumptions accepted.
"""
_PLUGIN_PATHS = ("/etc/ocamlfind.conf", "/etc/ocamlfind.conf.d")
_FLAGS = ("-q", "-w", "-all", "-native-compiler", "no", "-Q", ".", "Task")
_RECHECK = (
    "-silent",
    "-o",
    "-bytecode-compiler",
    "yes",
    "-Q",
    ".",
    "Task",
    "-norec",
    "Task.Cand",
    "-norec",
    "Task.Check",
)


class Coq(Prover):
    """Coq 8.16 or newer."""

    name = "coq"
    languages = ("coq", "rocq", "gallina", "v")
    judges = Judges.STEPS

    async def open(self, statement: Statement, bench: Bench) -> Opened:
        tools = _tools(bench)
        text = _GOAL.format(
            imports=statement.imports,
            definitions=statement.definitions,
            goal=statement.goal.strip().removesuffix("."),
            name=statement.name,
        )
        outcome = await tools.compile("Goal", text, {})
        if outcome.ended == "timeout":
            raise Undecidable(f"Coq did not read the goal in {bench.limits.seconds:g} s", "timeout")
        if not outcome.succeeded:
            raise Undecidable(f"Coq does not accept the goal itself: {reports.complaint(outcome)}")
        return _Goal(tools, statement, outcome.stdout)


def _tools(bench: Bench) -> "_Tools":
    coqc, coqchk = installed("coqc", "Debian package: coq"), installed("coqchk", "Debian package: coq")
    return _Tools(bench, coqc, coqchk, (*_PLUGIN_PATHS, *outside_usr(str(Path(coqc).resolve().parent.parent))))


@dataclass(frozen=True, slots=True)
class _Tools:
    bench: Bench
    coqc: str
    coqchk: str
    readable: tuple[str, ...]

    async def compile(self, module: str, text: str, beside: Mapping[str, bytes]) -> Outcome:
        """Standard output is the compiled file; what Coq says is in standard error."""
        script = f'{quote(self.coqc)} "$@" {module}.v >&2 && exec /bin/cat {module}.vo'
        return await self._run(script, {f"{module}.v": text.encode(errors="replace"), **beside})

    async def check(self, text: str, beside: Mapping[str, bytes]) -> Outcome:
        """Standard output is what Check.v prints, then all that coqchk says."""
        script = f'{quote(self.coqc)} "$@" Check.v && exec {quote(self.coqchk)} {" ".join(_RECHECK)} 2>&1'
        return await self._run(script, {"Check.v": text.encode(), **beside})

    async def _run(self, script: str, files: Mapping[str, bytes]) -> Outcome:
        return await self.bench.run(script, files, self.readable, arguments=_FLAGS)


@dataclass(frozen=True, slots=True)
class _Goal:
    tools: _Tools
    statement: Statement
    compiled: bytes

    async def rule(self, script: Script) -> Ruling:
        if not script.finished:
            return await self._rule_beginning(script)
        if not script.code.strip():
            return Ruling(False, "no proof found")
        return await self._rule_proof(self._source(script))

    async def _rule_beginning(self, script: Script) -> Ruling:
        """By one run of all there is: Coq shows at its end which goals are open."""
        mark = f"at_{secrets.token_hex(8)}"
        source = self._source(script, footer=f"\nLocate Term {mark}.\nShow Existentials.\n")
        if not source.steps:
            if script.fenced:
                return Ruling(False, "nothing is proved yet", open_goals=1)
            raise Undecidable("no proof has begun")
        outcome = await self._compile(source)
        end = reports.after_mark(outcome, mark)
        if end is None:
            refused = _refused(source, outcome)
            words = source.begins_in_words or reports.is_syntax_error(outcome)
            if words and not script.fenced and not any(refused.steps):
                raise Undecidable("no proof has begun")
            return refused
        if end.given_up:
            return Ruling(False, "a goal is given up", steps=(True,) * len(source.steps))
        left = end.open_goals + (not source.states_goal)
        if left:
            steps = (True,) * len(source.steps)
            return Ruling(False, f"{left} goal{'s' if left > 1 else ''} left", left, steps)
        return await self._rule_proof(self._source(script, closed=end.in_proof))

    async def _rule_proof(self, source: Source) -> Ruling:
        outcome = await self._compile(source)
        if not outcome.succeeded:
            return _refused(source, outcome)
        files = {"Goal.vo": self.compiled, "Cand.vo": outcome.stdout}
        checked = await self.tools.check(_CHECK.format(name=self.statement.name), files)
        if checked.ended == "timeout":
            raise Undecidable(f"the proof was not checked in {self.tools.bench.limits.seconds:g} s", "timeout")
        objection = reports.objection(checked, self.statement.axioms)
        steps = (True,) * len(source.steps)
        return Ruling(objection is None, objection or "the proof is accepted", None, steps)

    def _source(self, script: Script, footer: str = "", closed: bool = False) -> Source:
        code = script.code
        if self.statement.definitions.strip():
            # A model that was shown them says them again; what it defines anew would be something else.
            code = code.replace(self.statement.definitions.strip(), "")
        return write(
            _HEADER.format(imports=self.statement.imports),
            _THEOREM.format(name=self.statement.name),
            self.statement.name,
            code,
            finished=script.finished,
            footer=footer,
            closed=closed,
        )

    async def _compile(self, source: Source) -> Outcome:
        return await self.tools.compile("Cand", source.text, {"Goal.vo": self.compiled})


def _refused(source: Source, outcome: Outcome) -> Ruling:
    offset = reports.error_offset(outcome, source.text)
    steps = () if offset is None else source.before(offset)
    reason = reports.complaint(outcome)
    if steps and not steps[-1]:
        reason = f"sentence {len(steps)}: {reason}"
    return Ruling(False, reason, steps=steps)
