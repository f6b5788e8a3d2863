"""What every verifier keeps, whatever it judges."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import VERIFIERS, parse_verifier

OPTIONS: dict[str, dict[str, Any]] = {
    "agent_format": {},
    "calculator": {},
    "code": {"entry_point": "add", "tests": [{"input": [40, 2], "expected": 42}], "timeout_s": 1},
    "ensemble": {"members": ["calculator", {"kind": "regex", "pattern": "4", "weight": 3}]},
    "format": {},
    "json": {"schema": {"type": "object", "required": ["answer"]}},
    "judge": {"mode": "yes_no"},
    "language_consistency": {"language": "en"},
    "length": {"maximum": 20, "slack": 30, "unit": "words"},
    "likelihood": {},
    "prover": {"goal": "40 + 2 = 42"},
    "reference": {"answer": "42"},
    "reference_steps": {"solution": "40 + 2 = 42\n<answer>42</answer>"},
    "regex": {"pattern": "4.*2"},
    "render": {"parts": {"performance": 0}},
    "reward_model": {"steps": True},
    "rouge": {"reference": "40 + 2 = 42"},
    "self_certainty": {"over": "tail"},
}
TEXTS = (
    "40 + 2 = 42\n<answer>42</answer>",
    "40 + 2 = 43\n<answer>43</answer>",
    '{"answer": 42}',
    "",
    " \n\n ",
    "\ud800 \uff14\uff12 ½ \u202e 🧮 = \U0001d7dc\U0001d7da\x00",
    "<think>40 + 2 = 42",
    "x" * 5_000,
    "```python\ndef add(a, b):\n    return a + b\n```",
)

kinds = pytest.mark.parametrize("kind", sorted(VERIFIERS))


def test_every_verifier_is_under_this_contract() -> None:
    assert set(OPTIONS) == set(VERIFIERS)


def candidates(texts: Sequence[str] = TEXTS) -> list[Candidate]:
    return [Candidate(text) for text in texts]


async def judge(kind: str, resources: Resources, problem: Problem, batch: list[Candidate]) -> list[Verdict]:
    verifier = parse_verifier({"kind": kind, **OPTIONS[kind]}).build(resources)
    assert verifier.judges in type(verifier.judges)
    return await verifier.verify(problem, batch)


@kinds
async def test_one_verdict_for_each_candidate_in_order(kind: str, resources: Resources, problem: Problem) -> None:
    batch = candidates()
    verdicts = await judge(kind, resources, problem, batch)
    assert len(verdicts) == len(batch)
    assert await judge(kind, resources, problem, batch[::-1]) == verdicts[::-1]


@kinds
async def test_an_empty_batch_has_no_verdicts(kind: str, resources: Resources, problem: Problem) -> None:
    assert await judge(kind, resources, problem, []) == []


@kinds
async def test_scores_are_probabilities_and_undecided_is_no_score(
    kind: str, resources: Resources, problem: Problem
) -> None:
    for verdict in await judge(kind, resources, problem, candidates()):
        if verdict.status == "ok":
            assert verdict.score is not None
            assert all(0 <= score <= 1 for score in (verdict.score, *verdict.steps))
        else:
            assert (verdict.score, verdict.passed, verdict.steps) == (None, None, ())
            assert verdict.reason


@kinds
async def test_concurrent_calls_do_not_mix(kind: str, resources: Resources, problem: Problem) -> None:
    alone = [await judge(kind, resources, problem, [candidate]) for candidate in candidates()]
    together = await asyncio.gather(*(judge(kind, resources, problem, [candidate]) for candidate in candidates()))
    assert together == alone


@kinds
def test_the_config_survives_a_round_trip(kind: str) -> None:
    config = parse_verifier({"kind": kind, **OPTIONS[kind]})
    assert parse_verifier(config.describe()) == config


@kinds
def test_unknown_fields_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        parse_verifier({"kind": kind, **OPTIONS[kind], "surprise": 1})


@kinds
def test_the_config_is_documented(kind: str) -> None:
    assert VERIFIERS[kind].__doc__
    assert TypeAdapter(VERIFIERS[kind]).json_schema()
