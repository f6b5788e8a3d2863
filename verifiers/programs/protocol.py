"""What a language and a program at work are to the verifier of code.

A language turns source into an `Executable`; who runs it, feeds it and judges it stands outside of all boxes. Whatever
a program says is only its word: replies count by their values, and those are compared on the host.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol, TypeAlias

from deliberate.verifiers.sandbox.protocol import Ended, Job, Limits, Outcome
from deliberate.verifiers.sandbox.sandbox import Sandbox


class CompileError(Exception):
    """The candidate's own fault: its source is no program of its language. The message is the compiler's, hostile."""


class Unsupported(Exception):
    """The language cannot do what the tests ask for, or the tests are at fault: nothing is decided of the candidate.

    The message says what, and what would help."""


@dataclass(frozen=True, slots=True)
class Executable:
    """A program that can be started any number of times, each in a box of its own."""

    command: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    readable: tuple[str, ...] = ()
    address_space_bytes: int | None = None
    """At least this much, for runtimes that reserve more than they use."""

    def job(self, limits: Limits, stdin: bytes = b"") -> Job:
        """One run of it."""
        if self.address_space_bytes is not None:
            space = max(limits.address_space, self.address_space_bytes)
            limits = replace(limits, address_space_bytes=space)
        return Job(self.command, self.files, stdin, limits, self.environment, self.readable)


class Language(Protocol):
    """A language whose toolchain may or may not be on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def fence_names(self) -> frozenset[str]:
        """What marks its code fences, in lower case; its name among them."""
        ...

    async def build(self, source: str, sandbox: Sandbox, limits: Limits) -> Executable:
        """Compile, or check that it parses, in a box other than the one it runs in; `limits` are the compiler's.

        Raises CompileError, and SandboxUnavailable where the toolchain is missing or the box failed.
        """
        ...

    def with_calls(self, source: str, function: str) -> str:
        """Source of a program that answers calls of that function of the candidate's, as `Session` asks them.

        It reads lines `{"mark": "…", "arguments": […]}` from standard input until that ends, and answers each by one
        line on standard output, flushed: `{"mark": "…", "value": …}` with the mark it was given, or
        `{"mark": "…", "raised": "…"}`. What else is printed does not matter. Raises Unsupported where the language (or
        this signature) has no such driver, CompileError where the source has no such function.
        """
        ...

    def with_tests(self, source: str, tests: str, mark: str) -> str:
        """Source of a program that runs assert-style tests on the candidate and prints the mark, alone on a line, once
        all of them have passed. Raises Unsupported where the language has no such form."""
        ...


@dataclass(frozen=True, slots=True)
class Returned:
    """A function returned."""

    value: object
    """Plain data (`deliberate.verifiers.programs.values`)."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A function failed, in the way its language has for that."""

    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """No reply came: the program ended, or was ended, or said what is no reply."""

    ended: Ended
    text: str = ""
    """The end of what it complained of."""


Reply: TypeAlias = Returned | Raised | Stopped


class Session(Protocol):
    """A program at work on its calls, one after the other. After a `Stopped` it answers nothing more."""

    async def reply(self, seconds: float) -> Reply:
        """Wait so long for the answer to the next call."""
        ...


class Program(Protocol):
    """A candidate's program, ready to run."""

    async def run(self, stdin: bytes, limits: Limits) -> Outcome:
        """Run it once to its end. Raises SandboxUnavailable."""
        ...

    def calls(
        self, function: str, inputs: Sequence[Sequence[object]], limits: Limits
    ) -> AbstractAsyncContextManager[Session]:
        """Start it to call a function with each of these arguments; `limits` hold for all calls together.

        Entering, or the first reply, raises SandboxUnavailable, Unsupported, CompileError."""
        ...
