"""A judge that cannot be read, or does not answer, is no score of 0."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest, Overloaded
from deliberate.engines.protocol import Delta, Prompt, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.verifiers.judging.registry import MODES
from deliberate.verifiers.workers import WorkerPool

from .judge_bench import Bench


@pytest.mark.parametrize(
    "said",
    [
        "A good answer.",
        '{"score": 11}',
        '{"score": -1}',
        '{"score": "9"}',
        '{"score": true}',
        '{"score": NaN}',
        '{"score": 9, "score": 2}',
        '{"score": 9, "style": 9}',
        '{"score": 9} or so',
        "",
        Reply('{"score": 9}', "length"),
    ],
)
async def test_what_cannot_be_read_is_no_score(workers: WorkerPool, said: Reply | str) -> None:
    (verdict,) = await Bench(workers, [said])("42")
    assert (verdict.status, verdict.score, verdict.passed) == ("unavailable", None, None)
    assert "only 0 of 4 replies could be read" in verdict.reason


@pytest.mark.parametrize(("readable", "score"), [(4, 0.5), (3, 0.5), (2, 0.5), (1, None), (0, None)])
async def test_half_of_the_replies_are_enough(workers: WorkerPool, readable: int, score: float | None) -> None:
    judge = Bench(workers, ['{"score": 5}'] * readable + ["I would rather not."] * (4 - readable))
    (verdict,) = await judge("42", pass_score=0.1)
    assert (verdict.score, verdict.passed) == (score, None if score is None else True)
    assert f"{readable} of 4 replies could be read" in verdict.reason
    if score is None:
        assert "'I would rather not.'" in verdict.reason


async def test_a_failed_reply_is_one_that_cannot_be_read(workers: WorkerPool) -> None:
    failed = Reply('{"score": 0}', "error")
    (verdict,) = await Bench(workers, ['{"score": 5}', failed])("42")
    assert (verdict.score, verdict.reason[:6]) == (0.5, "2 of 4")
    (verdict,) = await Bench(workers, [failed])("42")
    assert verdict.reason == "the judge did not answer: scripted failure"


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize(
    "failure", [Overloaded("queue full", retry_after=1), InvalidRequest("content refused")], ids=["queue", "refusal"]
)
async def test_a_judge_that_fails_decides_nothing(workers: WorkerPool, mode: str, failure: Exception) -> None:
    class Failing(ScriptedEngine):
        def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
            raise failure

        async def next_logprobs(self, *asked: Any, **named: Any) -> list[tuple[tuple[float, ...], ...]]:
            raise failure

    judge = Bench(workers, Failing([]))
    for verdict in await judge("42", "41", mode=mode, reference="42"):
        assert (verdict.status, verdict.score) == ("unavailable", None)
        assert str(failure) in verdict.reason


@pytest.mark.parametrize("mode", sorted(MODES))
async def test_a_stopped_engine_and_a_full_context_decide_nothing(workers: WorkerPool, mode: str) -> None:
    judge = Bench(workers, ['{"score": 5}'], context_length=300)
    for verdict in await judge("a" * 400, "b" * 400, mode=mode, reference="42"):
        assert verdict.status == "unavailable"
        assert "context holds 300" in verdict.reason
    judge.engine.fail(RuntimeError("device"))
    for verdict in await judge("a", "b", mode=mode, reference="42"):
        assert verdict.status == "unavailable"
