"""What a prover is: a proof assistant that runs in boxes and says whether a script proves a statement."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol

from deliberate.verifiers.protocol import Judges
from deliberate.verifiers.sandbox.protocol import Job, Limits, Outcome


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be proved, in the prover's language; all of it is the host's."""

    goal: str
    name: str
    """Of the candidate's theorem."""
    imports: str = ""
    """Stand before the definitions, and before the candidate's text."""
    definitions: str = ""
    """Stand before the goal; the candidate imports them."""
    axioms: tuple[str, ...] = ()
    """What a proof may rest on, beside what the definitions state."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a candidate says in the prover's language."""

    code: str
    finished: bool
    """Nothing more of it follows."""
    fenced: bool
    """It stood in a fenced block: it is meant to be the proof."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a prover says of one script."""

    proved: bool
    reason: str
    open_goals: int | None = None
    """Of a beginning without an error: how many goals it leaves to be proved."""
    steps: tuple[bool, ...] = ()
    """Of each sentence that was read, whether it went through; empty where that is not known."""


class Undecidable(Exception):
    """Nothing can be said of any script, or of this one; the message says why."""

    def __init__(self, reason: str, status: Literal["unavailable", "timeout"] = "unavailable") -> None:
        super().__init__(reason)
        self.status: Literal["unavailable", "timeout"] = status


class Boxes(Protocol):
    """Where programs run."""

    async def run(self, job: Job) -> Outcome:
        """Run a program to its end. Raises SandboxUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a prover works with: boxes, and the limits of each program in one."""

    boxes: Boxes
    limits: Limits

    async def run(
        self,
        script: str,
        files: Mapping[str, bytes],
        readable: tuple[str, ...],
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
        address_space_bytes: int | None = None,
    ) -> Outcome:
        """A script of the shell in a box of its own. Programs that reserve more address space than they use say so.

        Raises SandboxUnavailable.
        """
        job = Job(
            ("/bin/sh", "-c", script, "sh", *arguments),
            files,
            limits=replace(self.limits, address_space_bytes=address_space_bytes),
            # No compiler to be found: a prover could be made to start one.
            environment={**environment, "PATH": "/nowhere"},
            readable=readable,
        )
        return await self.boxes.run(job)


class Opened(Protocol):
    """A statement that the prover has read and found to be one."""

    async def rule(self, script: Script) -> Ruling:
        """Whether the script proves it. Raises SandboxUnavailable, and Undecidable where it is no proof yet."""
        ...


class Prover(ABC):
    """A proof assistant; it keeps nothing between two requests."""

    name: ClassVar[str]
    """In requests."""
    languages: ClassVar[Sequence[str]]
    """How fenced blocks of its language are marked."""
    judges: ClassVar[Judges]
    usual_axioms: ClassVar[Sequence[str]] = ()
    """What a proof may rest on where nothing else is said."""

    @abstractmethod
    async def open(self, statement: Statement, bench: Bench) -> Opened:
        """Have the prover read the statement. Raises SandboxUnavailable, and Undecidable where the prover is missing or
        the statement is none."""
