"""HumanEval: right solutions pass, broken ones do not, and what broken means is said by plain Python."""

import asyncio
from collections.abc import Sequence

import pytest

from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict

from .humaneval import ENDLESS, FILE, HOG, Task, begins_with, off_by_one, passes, tasks, wrong_operator

pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason=f"needs HumanEval in {FILE}"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]


async def judged(
    task: Task, replies: Sequence[str], problem: Problem, warm: Resources, seconds: float = 5.0
) -> list[Verdict]:
    config = Code(
        entry_point=task.entry_point,
        prefix=task.prompt,
        test_source=task.tests,
        credit="all",
        timeout_s=seconds,
        total_timeout_s=2 * seconds,
        memory_mb=128,
    )
    return await config.build(warm).verify(problem, [Candidate(reply) for reply in replies])


def fenced(program: str) -> str:
    return f"Here it is.\n\n```python\n{program}\n```\n"


async def test_every_solution_passes_whole_or_as_a_continuation(problem: Problem, warm: Resources) -> None:
    found = tasks()
    assert len(found) == 164
    for task in found:
        for verdict in await judged(task, [fenced(task.program), task.solution], problem, warm):
            assert verdict.passed, f"{task.name}: {verdict.reason}"


async def test_broken_solutions_pass_exactly_where_plain_python_passes_them(problem: Problem, warm: Resources) -> None:
    broken = [(task, program) for task in tasks() for program in [*off_by_one(task), *wrong_operator(task)]]
    equivalent = dict(zip(broken, passes(broken), strict=True))
    for task in tasks():
        programs = [program for of, program in broken if of == task]
        assert not all(equivalent[task, program] for program in programs), f"{task.name}: nothing broke it"
        verdicts = await judged(task, list(map(fenced, programs)), problem, warm, seconds=1.0)
        for program, verdict in zip(programs, verdicts, strict=True):
            assert verdict.passed is equivalent[task, program], f"{task.name}: {verdict.reason}\n{program}"


@pytest.mark.parametrize("statements", ["return None", ENDLESS, HOG], ids=["early return", "endless", "memory hog"])
async def test_solutions_that_begin_with_it_fail(statements: str, problem: Problem, warm: Resources) -> None:
    async def verdict(task: Task) -> Verdict:
        return (await judged(task, [fenced(begins_with(task, statements))], problem, warm, seconds=0.2))[0]

    found = tasks()
    for task, result in zip(found, await asyncio.gather(*map(verdict, found)), strict=True):
        assert result.passed is False, f"{task.name}: {result.reason}"
