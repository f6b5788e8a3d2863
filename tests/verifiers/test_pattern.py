import asyncio
import time
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier


async def judge(resources: Resources, *texts: str, **options: Any) -> list[Verdict]:
    verifier = parse_verifier({"kind": "regex", **options}).build(resources)
    return await verifier.verify(Problem(()), [Candidate(text) for text in texts])


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ({"pattern": r"\d+"}, True),
        ({"pattern": r"\d+", "mode": "fullmatch"}, False),
        ({"pattern": r"\d+", "mode": "fullmatch", "on": "answer"}, True),
        ({"pattern": "hum", "on": "answer"}, False),
        ({"pattern": "hum"}, True),
        ({"pattern": r"\p{Lu}o"}, True),
    ],
)
async def test_matching(options: dict[str, str], passed: bool, resources: Resources) -> None:
    (verdict,) = await judge(resources, "So, hum: <answer>42</answer>", **options)
    assert verdict.passed is passed


async def test_no_answer_is_rejected(resources: Resources) -> None:
    (verdict,) = await judge(resources, "", pattern="", on="answer")
    assert verdict == Verdict.decided(False, "no final answer found")


def test_an_invalid_pattern_is_refused_with_the_position() -> None:
    with pytest.raises(ValidationError, match="position 3"):
        parse_verifier({"kind": "regex", "pattern": "ab["})
    with pytest.raises(ValidationError, match="nests too deep"):
        parse_verifier({"kind": "regex", "pattern": "(" * 900 + ")" * 900})


@pytest.mark.parametrize("pattern", ["a{1000000000}", "(?:a{1000}){1000}", "a{,99999999999999999999}"])
def test_a_pattern_that_would_unroll_to_gigabytes_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="repeat counts"):
        parse_verifier({"kind": "regex", "pattern": pattern})


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
async def test_a_catastrophe_times_out_while_the_loop_lives(pattern: str, resources: Resources) -> None:
    task = asyncio.create_task(judge(resources, "a" * 5000 + "b", "aaa", pattern=pattern, timeout_s=1))
    # By the processor's time of this process, which would read the text if its workers did not.
    longest, last = 0.0, time.process_time()
    while not task.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    slow, quick = task.result()
    assert (slow.score, slow.status) == (None, "timeout")
    assert quick.status == "ok"
    assert longest < 0.8
