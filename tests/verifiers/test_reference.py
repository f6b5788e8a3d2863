import asyncio
import time
from typing import Any

import pytest

from deliberate.verifiers.equality_job import equal
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.reference import Reference
from deliberate.verifiers.workers import WorkerPool


async def compare(resources: Resources, answer: str, *given: str, timeout_s: float = 10.0) -> list[Verdict]:
    verifier = Reference(answer=answer, timeout_s=timeout_s).build(resources)
    return await verifier.verify(Problem(()), [Candidate(f"<answer>{text}</answer>") for text in given])


@pytest.mark.parametrize(
    ("answer", "given", "passed"),
    [
        ("42", "42.0", True),
        ("42", "43", False),
        ("1/3", "0.333333", False),
        ("10%", "10", False),
        ("5 cm", "5 m", False),
        ("5 cm", "5", True),
        ("18", "18 apples", True),
        ("Paris", "paris.", True),
        ("Paris", "Apris", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1.0}', True),
        ("x(x+1)", "x^2+x", True),
        ("x(x+1)", "x^2-x", False),
        ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}", True),
        ("2\\sqrt{2}", "\\sqrt{8}", True),
        ("(1, 2)", "(1, 3)", False),
    ],
)
async def test_equality(answer: str, given: str, passed: bool, resources: Resources) -> None:
    (verdict,) = await compare(resources, answer, given)
    assert (verdict.passed, verdict.status) == (passed, "ok"), verdict


async def test_what_cannot_be_read_is_undecided(resources: Resources) -> None:
    (verdict,) = await compare(resources, "x(x+1)", "x^{2")
    assert (verdict.score, verdict.status) == (None, "unavailable")


async def test_a_reply_without_an_answer_is_rejected(resources: Resources) -> None:
    (verdict,) = await compare(resources, "42", "")
    assert verdict == Verdict.decided(False, "no final answer found")


@pytest.mark.parametrize(
    "hostile",
    [
        "9^{9^{9^9}}",
        "100000000!",
        "(" * 3000 + "x" + ")" * 3000,
        "2^{99999999}",
        "x+" * 5_000 + "1",
        "((9!)!)!",
        "1e99999 x",
    ],
)
async def test_a_hostile_answer_is_undecided_and_the_next_is_judged(hostile: str, resources: Resources) -> None:
    started = time.monotonic()
    bad, good = await compare(resources, "x(x+1)", hostile, "x^2+x", timeout_s=2.0)
    assert (bad.score, bad.status != "ok" or bad.passed) == (None, True)
    assert good.passed is True
    assert time.monotonic() - started < 6


async def test_what_slips_through_is_killed_at_the_limit(workers: WorkerPool, resources: Resources) -> None:
    slow = "\\sum_{n=1}^{999} \\sum_{m=1}^{999} \\sum_{k=1}^{999} \\frac{1}{n m k + 1}"
    started = time.monotonic()
    (verdict,) = await compare(resources, "x + \\pi", slow, timeout_s=0.5)
    assert verdict.status in ("timeout", "ok")
    assert time.monotonic() - started < 3
    assert await workers.run(10.0, equal, "x+1", "1+x")


async def test_model_text_is_not_executed(resources: Resources, tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    await compare(resources, "x+1", f"__import__('os').mknod('{mark}')", f"open('{mark}','w')", timeout_s=2.0)
    assert not mark.exists()


class CountingPool(WorkerPool):
    def __init__(self) -> None:
        super().__init__()
        self.jobs = list[tuple[Any, ...]]()

    async def run(self, timeout_s: float, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.jobs.append(args)
        await asyncio.sleep(0)
        return True


async def test_equal_answers_are_compared_once_and_numbers_never() -> None:
    pool = CountingPool()
    resources = Resources(pool, {})
    await compare(resources, "x(x+1)", "x^2+x", "x^2 + x", "$x^2+x$", "x(x + 1)", "42")
    await compare(resources, "42", "41", "42", "1e3", "Paris")
    assert set(pool.jobs) == {("x(x+1)", "x^2+x"), ("x(x+1)", "42")}
    assert len(pool.jobs) == 2
