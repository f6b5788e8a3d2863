import math
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.scripted import ScriptedEngine
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier


async def judge(resources: Resources, candidate: str | Candidate, **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "length", **options}).build(resources)
    (verdict,) = await verifier.verify(
        Problem(()), [candidate if isinstance(candidate, Candidate) else Candidate(candidate)]
    )
    return verdict


@pytest.mark.parametrize(("length", "score"), [(0, 0), (4, 0), (5, 1), (7, 1), (9, 1), (10, 0), (500, 0)])
async def test_a_range_without_slack_accepts_or_rejects(length: int, score: float, resources: Resources) -> None:
    verdict = await judge(resources, "x" * length, minimum=5, maximum=9, unit="characters")
    assert (verdict.score, verdict.passed) == (score, score == 1)
    assert verdict.reason == f"{length} characters"


@pytest.mark.parametrize("length", [0, 1, 3000, 15_999, 16_000, 16_384, 16_001, 18_000, 20_479, 20_480, 30_000])
async def test_overlong_punishment_of_dapo_shifted_by_one(length: int, resources: Resources) -> None:
    expected, cache = 20_480, 4_096
    if length <= expected - cache:
        reward = 0.0
    elif length <= expected:
        reward = ((expected - cache) - length) / cache
    else:
        reward = -1.0
    verdict = await judge(resources, Candidate("x", tuple([1] * length)), maximum=expected - cache, slack=cache)
    assert verdict.score == pytest.approx(1 + reward)
    assert verdict.passed is None


@pytest.mark.parametrize("length", [0, 10, 50, 99, 100, 101])
async def test_cosine_reward_for_right_answers(length: int, resources: Resources) -> None:
    verdict = await judge(resources, "x" * length, maximum=0, slack=100, shape="cosine", unit="characters")
    expected = 0.5 * (1 + math.cos(length * math.pi / 100)) if length <= 100 else 0.0
    assert verdict.score == pytest.approx(expected)


async def test_it_falls_on_both_sides(resources: Resources) -> None:
    options = {"minimum": 10, "maximum": 20, "slack": 10, "unit": "characters"}
    scores = [(await judge(resources, "x" * length, **options)).score for length in (0, 5, 10, 20, 25, 30)]
    assert scores == pytest.approx([0, 0.5, 1, 1, 0.5, 0])


async def test_units_and_parts(resources: Resources) -> None:
    text = "<think>one two three</think>\nfour five"
    one = {"maximum": 1}
    assert (await judge(resources, text, unit="words", **one)).reason == "5 words"
    assert (await judge(resources, text, unit="words", part="reasoning", **one)).reason == "3 words"
    assert (await judge(resources, text, unit="words", part="reply", **one)).reason == "2 words"
    assert (await judge(resources, "höher", unit="characters", **one)).reason == "5 characters"
    assert (await judge(resources, "höher", **one)).reason == "6 tokens", "the scripted engine's are bytes"
    sampled = Candidate("höher", (104, 256))
    assert (await judge(resources, sampled, **one)).reason == "2 tokens", "as sampled, their end included"
    assert (await judge(resources, sampled, part="reply", **one)).reason == "6 tokens"


async def test_tokens_that_nobody_shows_cannot_be_counted(resources: Resources) -> None:
    hidden = replace(resources, engines={"policy": ScriptedEngine(["x"], token_ids=False)})
    verdict = await judge(hidden, "x", maximum=3)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    alone = replace(resources, policy=None)
    with pytest.raises(InvalidRequest, match="words or characters"):
        parse_verifier({"kind": "length", "maximum": 3, "part": "reply"}).build(alone)
    assert (await judge(alone, "x", maximum=3)).status == "unavailable"
    assert (await judge(alone, Candidate("x", (1, 2, 3, 4)), maximum=3)).passed is False
    assert (await judge(alone, "x", maximum=3, unit="words")).passed is True


@pytest.mark.parametrize(
    "options", [{}, {"minimum": 3, "maximum": 2}, {"maximum": -1}, {"maximum": 10**9}, {"maximum": 1, "unit": "bytes"}]
)
def test_what_is_no_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_verifier({"kind": "length", **options})
