"""The `code` verifier: does the program in the reply do what it should?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, FiniteFloat, StringConstraints, field_validator, model_validator

from deliberate.verifiers.messages import text_of
from deliberate.verifiers.programs.agreement import by_agreement
from deliberate.verifiers.programs.assertions import Assertions
from deliberate.verifiers.programs.calling import Call, Calls
from deliberate.verifiers.programs.guessed import Guesses
from deliberate.verifiers.programs.inputs import Inputs
from deliberate.verifiers.programs.inside.plain import NotPlain
from deliberate.verifiers.programs.reading import Reading
from deliberate.verifiers.programs.registry import FENCE_NAMES
from deliberate.verifiers.programs.results import TestLimits
from deliberate.verifiers.programs.streaming import Output, Stream, Streams
from deliberate.verifiers.programs.trials import Tests, by_tests
from deliberate.verifiers.programs.values import Comparison
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.sandbox.protocol import MIB
from deliberate.verifiers.sandbox.sandbox import Sandbox

MAX_TESTS = 1_000
MAX_CHARACTERS = 500_000

Source: TypeAlias = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)?$", max_length=200)]
Arguments: TypeAlias = Annotated[tuple[Any, ...], Field(max_length=100)]


class CallTest(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A call of `entry_point`. What JSON has not is an object with one key: `{"$tuple": […]}`, `{"$set": […]}`,
    `{"$frozenset": […]}`, `{"$bytes": "base64"}`, `{"$complex": [re, im]}`, `{"$float": "nan"}`, and
    `{"$dict": [[key, value], …]}` for keys that are no texts."""

    input: Arguments
    """The arguments."""
    expected: Any
    """What it must return; it never enters a box."""


class StreamTest(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A run of the whole program."""

    stdin: Source = ""
    """What it reads from standard input."""
    stdout: Source
    """What it must print."""


class Code(VerifierConfig, frozen=True):
    """The program in the reply passes the tests, in a box that keeps it in.

    What a program says of itself counts for nothing: its values and its output are compared outside. Without tests
    the candidates of a batch run on the same inputs, and the score is the share of them that behave alike (CodeT,
    MBR-exec). In every case candidates that behave alike vote together. The program is the last fenced block of its
    language, or the whole reply where it has no fence and there are tests or inputs. Python runs in warm interpreters;
    of other languages, those whose toolchain the server has. Where there is no sandbox, verdicts are `unavailable`.
    """

    one_pass_suffices: ClassVar[bool] = True

    kind: Literal["code"] = "code"
    language: str | None = None
    """python, c, cpp, rust, java, javascript, typescript, go, … None for what the code fence says, else python."""
    block: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """A word beside the code fence, such as a file's name: the last block that has it is the program."""
    entry_point: Name | None = None
    """The function under test, or `Class.method` of an object that is made for each call."""
    tests: Annotated[tuple[CallTest | StreamTest, ...], Field(max_length=MAX_TESTS)] = ()
    """Calls of `entry_point`, or runs on standard input: one test after the other, in one process or in one each."""
    test_source: Source | None = None
    """Tests in the candidate's own language: assertions, functions `test_…`, unittest's classes, or HumanEval's
    `check(candidate)`. Python's run in another process than the candidate, whose functions they can call with plain
    data; those of other languages are compiled with it."""
    prefix: Source = ""
    """Source before the candidate, which may continue it (a function's head, as in HumanEval) or lean on it."""
    inputs: Annotated[tuple[Arguments | Source, ...], Field(max_length=MAX_TESTS)] = ()
    """Without tests: arguments of `entry_point`, or texts for standard input, to compare candidates on."""
    generated_inputs: Annotated[int, Field(ge=1, le=200)] = 16
    """Without tests and inputs: so many are made up for Python, from the task's examples and the signature."""
    credit: Literal["share", "all"] = "share"
    """The score: the share of the tests passed; or 1 for all and 0 else, where the first failure ends the tests."""
    tolerance: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.0
    """Numbers may differ so much, relative to the larger or absolute: in values of calls, and in output by `tokens`."""
    tuples_are_lists: bool = True
    """In values of calls, a tuple equals a list of the same items."""
    whitespace: Literal["exact", "trailing", "tokens"] = "trailing"
    """In output: all of it counts; not what ends lines and the output; or only that it parts words."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=60)] = 5.0
    """Seconds for one test."""
    total_timeout_s: Annotated[FiniteFloat, Field(gt=0, le=600)] = 30.0
    """Seconds for all tests of one candidate; what it did not get to has failed."""
    memory_mb: Annotated[int, Field(ge=32, le=4096)] = 512
    """MiB of memory that a candidate may use."""

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str | None) -> str | None:
        if language is not None and language.lower() not in FENCE_NAMES:
            raise ValueError(f"unknown language {language!r}; known: {', '.join(sorted(FENCE_NAMES))}")
        return language and language.lower()

    @model_validator(mode="after")
    def _is_one_kind_of_tests(self) -> Self:
        if sum(map(bool, (self.tests, self.test_source, self.inputs))) > 1:
            raise ValueError("give only one of tests, test_source and inputs")
        calls = [t.input for t in self.tests if isinstance(t, CallTest)] + [
            i for i in self.inputs if not isinstance(i, str)
        ]
        if len(calls) not in (0, len(self.tests) + len(self.inputs)):
            raise ValueError("tests and inputs are all calls (lists of arguments) or all texts for standard input")
        if calls and self.entry_point is None:
            raise ValueError("calls need entry_point, the name of the function to call")
        for value in (*calls, *(test.expected for test in self.tests if isinstance(test, CallTest))):
            self._check_value(value)
        return self

    def _check_value(self, value: object) -> None:
        try:
            Comparison().key(list(value) if isinstance(value, tuple) else value)
        except NotPlain as error:
            raise ValueError(f"a test's value cannot be read: {error}") from error

    @property
    def compares(self) -> bool:
        return not self.tests and self.test_source is None

    def build(self, resources: Resources) -> "CodeVerifier":
        return CodeVerifier(self, resources.sandbox, self._tests())

    def _tests(self) -> Tests | None:
        if self.test_source is not None:
            return Assertions(self.test_source, self.prefix, self.entry_point)
        calls = tuple(Call(test.input, test.expected) for test in self.tests if isinstance(test, CallTest))
        streams = tuple(Stream(test.stdin, test.stdout) for test in self.tests if isinstance(test, StreamTest))
        if calls:
            return Calls(self.entry_point or "", calls, Comparison(self.tolerance, self.tuples_are_lists))
        return Streams(streams, Output(self.whitespace, self.tolerance)) if streams else None

    def inputs_for(self, task: str) -> Inputs | Guesses:
        """What candidates are compared on."""
        exact = (Comparison(tuples_are_lists=self.tuples_are_lists), Output(self.whitespace))
        if not self.inputs:
            return Guesses(task, self.entry_point, self.generated_inputs, *exact)
        function = None if isinstance(self.inputs[0], str) else self.entry_point
        return Inputs(function, self.inputs, *exact)


@dataclass(frozen=True, slots=True)
class CodeVerifier:
    config: Code
    sandbox: Sandbox | None
    tests: Tests | None
    """None where candidates are compared with each other."""

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        if self.sandbox is None:
            return [Verdict.undecided("there is no sandbox here to run programs in")] * len(candidates)
        config = self.config
        limits = TestLimits(config.timeout_s, config.total_timeout_s, config.memory_mb * MIB)
        unfenced = self.tests is not None or bool(config.inputs)
        reading = Reading(config.language, config.block, config.entry_point, config.prefix, unfenced)
        written = await asyncio.to_thread(lambda: [reading.read(candidate.text) for candidate in candidates])
        if self.tests is not None:
            return await by_tests(self.sandbox, written, self.tests, limits, config.credit)
        task = "\n".join(text_of(message) for message in problem.messages if message["role"] == "user")
        copies = [candidate.copies for candidate in candidates]
        return await by_agreement(self.sandbox, written, copies, config.inputs_for(task), limits)
