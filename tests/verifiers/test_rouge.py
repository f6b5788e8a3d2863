import time
from difflib import SequenceMatcher
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.rouge import common_subsequence


async def judge(resources: Resources, text: str, **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "rouge", **options}).build(resources)
    (verdict,) = await verifier.verify(Problem(()), [Candidate(text)])
    return verdict


@pytest.mark.parametrize(
    ("measure", "expected"),
    # Lin's example: the police killed the gunman / police kill the gunman.
    [("rouge_1", 2 * 3 / 8), ("rouge_2", 2 * 1 / 6), ("rouge_l", 2 * 3 / 8)],
)
async def test_the_values_of_an_example(measure: str, expected: float, resources: Resources) -> None:
    reference = "police killed the gunman"
    verdict = await judge(resources, "Police kill the gunman.", reference=reference, measure=measure)
    assert verdict.score == pytest.approx(expected)
    assert verdict.passed is None


async def test_order_counts_for_the_subsequence_alone(resources: Resources) -> None:
    scores = [
        (await judge(resources, "the gunman kill police", reference="police kill the gunman", measure=m)).score
        for m in ("rouge_1", "rouge_l")
    ]
    assert scores == [1.0, 0.5]


async def test_edges(resources: Resources) -> None:
    assert (await judge(resources, "", reference="a")).score == 0
    assert (await judge(resources, "?!", reference="...")).score == 0
    assert (await judge(resources, "a", reference="a", measure="rouge_2")).score == 0
    assert (await judge(resources, "ÄPFEL 苹果", reference="äpfel 苹果")).score == 1
    assert (await judge(resources, "<think>b c</think>a", reference="a", part="reply")).score == 1


async def test_long_texts_are_compared_in_time_and_longer_ones_not(resources: Resources) -> None:
    started = time.monotonic()
    words = " ".join(str(i % 997) for i in range(20_000))
    assert (await judge(resources, words[::-1], reference=words)).status == "ok"
    assert time.monotonic() - started < 20
    assert (await judge(resources, words + " 1", reference="a")).status == "unavailable"


texts = st.lists(st.sampled_from("abc"), max_size=12)


@given(texts, texts)
def test_the_longest_common_subsequence_is_that_of_its_definition(first: list[str], second: list[str]) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(first) or j == len(second):
            return 0
        if first[i] == second[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    found = common_subsequence(first, second)
    assert found == longest(0, 0)
    assert found >= sum(block.size for block in SequenceMatcher(None, first, second).get_matching_blocks())
