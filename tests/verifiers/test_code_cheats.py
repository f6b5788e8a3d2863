"""Programs that do not solve the task but try to look as if: none may pass, in any form of tests."""

import asyncio
from typing import Any

import pytest

from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict

from .cheats import CHEATS

pytestmark = pytest.mark.asyncio(loop_scope="module")

RIGHT = "def double(x):\n    return 2 * x"
CALLS = [{"input": [n], "expected": 2 * n} for n in (3, 5, 8)]
ASSERTIONS = "assert double(3) == 6\nassert double(5) == 10\nassert double(8) == 16"
CHECK = (
    "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(5) == 10\n    assert candidate(8) == 16"
)
TEST_CASE = """
import unittest
class TestDouble(unittest.TestCase):
    def test_it(self):
        self.assertEqual(double(3), 6)
        self.assertEqual(double(5), 10)
"""
FORMS: dict[str, dict[str, Any]] = {
    "calls": {"entry_point": "double", "tests": CALLS},
    "assertions": {"test_source": ASSERTIONS},
    "check": {"test_source": CHECK, "entry_point": "double"},
    "unittest": {"test_source": TEST_CASE},
    "streams": {"tests": [{"stdin": f"{n}\n", "stdout": str(2 * n)} for n in (3, 5, 8)]},
}


async def verdicts(options: dict[str, Any], programs: list[str], problem: Problem, warm: Resources) -> list[Verdict]:
    config = Code.model_validate({"timeout_s": 0.5, "total_timeout_s": 1, "memory_mb": 128, **options})
    return await config.build(warm).verify(problem, [Candidate(f"```python\n{p}\n```") for p in programs])


@pytest.mark.parametrize("form", FORMS)
async def test_the_right_program_passes(form: str, problem: Problem, warm: Resources) -> None:
    program = f"{RIGHT}\nif __name__ == '__main__':\n    print(double(int(input())))"
    (verdict,) = await verdicts({**FORMS[form], "timeout_s": 5, "total_timeout_s": 15}, [program], problem, warm)
    assert (verdict.score, verdict.passed) == (1, True), verdict.reason


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_cheat_passes(cheat: str, problem: Problem, warm: Resources) -> None:
    found = await asyncio.gather(*(verdicts(FORMS[form], [CHEATS[cheat]], problem, warm) for form in FORMS))
    for form, (verdict,) in zip(FORMS, found, strict=True):
        assert verdict.passed is False, f"{form}: {verdict.status}, {verdict.reason}"
        assert verdict.score is not None and verdict.score <= 0.5, f"{form}: {verdict.reason}"


async def test_a_cheat_does_not_outlast_itself(problem: Problem, warm: Resources) -> None:
    """Whatever a program did to its process, the next one gets a fresh one."""
    programs = [program for pair in ((cheat, RIGHT) for cheat in CHEATS.values()) for program in pair]
    found = await verdicts(FORMS["calls"], programs, problem, warm)
    assert [verdict.passed for verdict in found] == [False, True] * len(CHEATS)
