"""Verdicts by tests."""

from collections.abc import Sequence
from typing import Literal, Protocol

from deliberate.verifiers.programs.batches import each
from deliberate.verifiers.programs.protocol import Program
from deliberate.verifiers.programs.reading import Written
from deliberate.verifiers.programs.results import Found, TestLimits
from deliberate.verifiers.protocol import Verdict
from deliberate.verifiers.sandbox.sandbox import Sandbox


class Tests(Protocol):
    """Tests of any kind."""

    async def judge(self, program: Program, limits: TestLimits, first_decides: bool) -> Found:
        """How they go; `first_decides`: up to the first that fails.

        Raises CompileError, SandboxUnavailable, Unsupported."""
        ...


async def by_tests(
    sandbox: Sandbox,
    written: Sequence[Written | None],
    tests: Tests,
    limits: TestLimits,
    credit: Literal["share", "all"],
) -> list[Verdict]:
    """The share of tests that each candidate's program passes, or whether it passes all."""

    async def judge(program: Written) -> Verdict:
        return _verdict(await tests.judge(program.program(sandbox), limits, credit == "all"), credit)

    return await each(written, judge)


def _verdict(found: Found, credit: Literal["share", "all"]) -> Verdict:
    passed = 0 < found.total == found.passed
    share = found.passed / found.total if found.total else 0.0
    if passed:
        reason = "the test passed" if found.total == 1 else f"all {found.total} tests passed"
    elif credit == "all":
        reason = f"a test failed: {found.reason}"
    else:
        reason = f"{found.passed} of {found.total} tests passed; the first that failed: {found.reason}"
    return Verdict(share if credit == "share" else float(passed), passed, (), reason, answer=found.behaviour)
