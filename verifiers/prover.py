"""The `prover` verifier: does a proof assistant accept the candidate's proof of a given statement?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, FiniteFloat, StringConstraints

from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.provers.blocks import script_in
from deliberate.verifiers.provers.protocol import Bench, Boxes, Opened, Ruling, Script, Statement, Undecidable
from deliberate.verifiers.provers.registry import DEFAULT, PROVERS
from deliberate.verifiers.sandbox.protocol import MIB, Limits, SandboxUnavailable

MAX_CHARACTERS = 200_000
"""Of a candidate's code."""

if TYPE_CHECKING:
    System: TypeAlias = str
else:
    System = Literal[tuple(sorted(PROVERS))]

_Text: TypeAlias = Annotated[str, StringConstraints(max_length=100_000)]


class Prover(VerifierConfig, frozen=True):
    """A proof assistant accepts the candidate's proof of the goal.

    The proof is the last fenced block of the prover's language, or of none; a reply without fences is all proof. It is
    a file that states and proves a theorem of the given name, or the tactics alone, with or without `Proof.` and
    `Qed.`, and the commands that they need before them. Refused is what is not proved: by `Admitted`, by axioms that
    are not allowed, by checks that are switched off, or by another statement. A file must prove all that it states.

    A proof that is not finished scores 0 from its first error on and 1 when it is complete; each sentence is a step
    that scores 1 when it went through. The prover runs in the sandbox; where one of them is missing, and where the
    goal itself is not accepted, nothing is decided.
    """

    one_pass_suffices: ClassVar[bool] = True

    kind: Literal["prover"] = "prover"
    system: System = DEFAULT
    """The proof assistant."""
    goal: Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"\S")]
    """The statement to prove, without its name: `forall n : nat, n + 0 = n`."""
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_']{0,99}$")] = "answer"
    """Of the theorem, for candidates that state it themselves."""
    imports: _Text = ""
    """Commands that stand before the definitions and before the candidate: `Require Import`, `Open Scope`, `open`."""
    definitions: _Text = ""
    """What the goal speaks of, beyond the libraries; candidates see it and need not repeat it. Axioms that it states
    may be used."""
    axioms: Annotated[tuple[Annotated[str, StringConstraints(max_length=200)], ...], Field(max_length=100)] | None = (
        None
    )
    """Names that a proof may rest on, such as `Classical_Prop.classic`; None for the prover's usual ones: in Coq none,
    in Lean `propext`, `Classical.choice` and `Quot.sound`."""
    partial: Literal["open_goals", "no_error"] = "open_goals"
    """The score of a proof without an error that is not finished: 1 / (1 + goals still open), or 1/2."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=600)] = 30.0
    """Seconds for each run of the prover; a proof takes two."""
    memory_mb: Annotated[int, Field(ge=256, le=32_768)] = 2048
    """Memory of each run, in MiB."""

    def build(self, resources: Resources) -> "ProverVerifier":
        return ProverVerifier(self, resources.sandbox)


@dataclass(slots=True)
class ProverVerifier:
    config: Prover
    boxes: Boxes | None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _opened: Opened | Verdict | None = None
    """The goal, once the prover has read it, or why nothing can be decided about it."""

    @property
    def judges(self) -> Judges:
        return PROVERS[self.config.system].judges

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        if not candidates:
            return []
        opened = await self._open()
        if isinstance(opened, Verdict):
            return [opened] * len(candidates)
        languages = PROVERS[self.config.system].languages
        scripts = [script_in(candidate.text, candidate.finished, languages) for candidate in candidates]
        async with asyncio.TaskGroup() as group:
            tasks = {script: group.create_task(self._judge(opened, script)) for script in dict.fromkeys(scripts)}
        return [tasks[script].result() for script in scripts]

    async def _judge(self, opened: Opened, script: Script) -> Verdict:
        if len(script.code) > MAX_CHARACTERS:
            return Verdict.decided(False, f"{len(script.code)} characters of code are more than {MAX_CHARACTERS}")
        try:
            return self._verdict(await opened.rule(script))
        except (Undecidable, SandboxUnavailable) as error:
            return _undecided(error)

    async def _open(self) -> Opened | Verdict:
        """Once for all batches."""
        async with self._opening:
            if self._opened is None:
                try:
                    self._opened = await PROVERS[self.config.system].open(self._statement(), self._bench())
                except (Undecidable, SandboxUnavailable) as error:
                    self._opened = _undecided(error)
            return self._opened

    def _statement(self) -> Statement:
        config = self.config
        axioms = PROVERS[config.system].usual_axioms if config.axioms is None else config.axioms
        return Statement(config.goal, config.name, config.imports, config.definitions, tuple(axioms))

    def _bench(self) -> Bench:
        if self.boxes is None:
            raise Undecidable("provers run in the sandbox, and there is none here")
        memory = self.config.memory_mb * MIB
        return Bench(self.boxes, Limits(self.config.timeout_s, memory, output_bytes=16 * MIB, processes=32))

    def _verdict(self, ruling: Ruling) -> Verdict:
        steps = tuple(map(float, ruling.steps))
        if ruling.open_goals is None:
            return Verdict.decided(ruling.proved, ruling.reason, steps)
        score = 0.5 if self.config.partial == "no_error" else 1 / (1 + ruling.open_goals)
        return Verdict(score, None, steps, ruling.reason)


def _undecided(error: Undecidable | SandboxUnavailable) -> Verdict:
    return Verdict.undecided(str(error), error.status if isinstance(error, Undecidable) else "unavailable")
