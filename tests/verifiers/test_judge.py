"""What a judge says, and how it is asked."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.verifiers.judge import Judge
from deliberate.verifiers.judging.registry import MODES
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.workers import WorkerPool

from .judge_bench import Bench


async def test_grades_are_shares_of_the_scale_averaged_over_samples(workers: WorkerPool) -> None:
    judge = Bench(
        workers, ['Good. {"score": 8}', 'Fine.\n```json\n{"score": 6}\n```', '{"score": 10}', 'So: {"score": 7.5} ']
    )
    (verdict,) = await judge("42")
    assert verdict.score == pytest.approx((8 + 6 + 10 + 7.5) / 40)
    assert (verdict.status, verdict.passed) == ("ok", None)
    assert verdict.reason == f"4 of 4 replies could be read, {judge.engine.stats.generated_tokens_total} tokens"


async def test_criteria_are_weighted(workers: WorkerPool) -> None:
    judge = Bench(workers, ['{"style": 1, "right or wrong": 5}'])
    criteria = [{"name": "right or wrong", "weight": 3, "description": "No mistake."}, {"name": "style"}]
    (verdict,) = await judge("42", criteria=criteria, scale=5, samples=1, pass_score=0.8)
    assert verdict.score == pytest.approx((3 * 1 + 1 * 0.2) / 4)
    assert verdict.passed is True
    assert "- right or wrong: No mistake." in judge.prompts[0]
    assert '{"right or wrong": …, "style": …}' in judge.prompts[0]


@pytest.mark.parametrize("mode", ["chain_of_thought", "reference"])
async def test_reasoned_verdicts_are_averaged(workers: WorkerPool, mode: str) -> None:
    judge = Bench(workers, ["40 + 2 = 42.\nVerdict: Yes", "Hm.\n**Verdict: No**", "Final verdict: yes.", "\n\nYes"])
    (verdict,) = await judge("42", mode=mode, reference="42", pass_score=0.8)
    assert (verdict.score, verdict.passed) == (0.75, False)
    assert "[right answer " in judge.prompts[0]


async def test_yes_no_is_the_probability_of_the_next_token(workers: WorkerPool) -> None:
    def logprob(sequence: Sequence[int], position: int) -> float:
        right = b"42\n[answer" in bytes(sequence)
        return {ord("Y"): -0.5, ord("N"): -2.0 if right else 0.0}[sequence[position]]

    judge = Bench(workers, [], token_logprob=logprob)
    right, wrong = await judge("42", "41", mode="yes_no")
    assert right.score == pytest.approx(1 / (1 + 2.718281828 ** (-2.0 + 0.5)))
    assert wrong.score == pytest.approx(1 / (1 + 2.718281828**0.5))
    assert right.reason == "the next token is Yes with probability 0.607, No with 0.135"
    assert judge.engine.calls == [], "no token is drawn"


async def test_yes_no_compares_where_the_words_first_differ(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[int, ...]]()

    def logprob(sequence: Sequence[int], position: int) -> float:
        asked.append(tuple(sequence[-2:]))
        return -1.0

    judge = Bench(workers, [], token_logprob=logprob)
    encode = judge.engine.tokenizer.encode
    monkeypatch.setattr(judge.engine.tokenizer, "encode", lambda text: encode(f" {text}"))
    (verdict,) = await judge("42", mode="yes_no")
    assert verdict.score == 0.5
    assert asked == [(ord(" "), ord("Y")), (ord(" "), ord("N"))]


async def test_yes_no_without_probabilities_asks_for_verdicts(workers: WorkerPool) -> None:
    judge = Bench(workers, ["Yes", "No.", "yes", "Yes"], token_ids=False)
    (verdict,) = await judge("42", mode="yes_no")
    assert verdict.score == 0.75
    assert [call.n for call in judge.engine.calls] == [1, 4]


async def test_what_is_the_same_for_all_candidates_comes_first(workers: WorkerPool) -> None:
    judge = Bench(workers, ['{"score": 5}'])
    await judge("first", "second", rubric="Short answers are best.", reference="forty-two")
    one, other = judge.prompts
    common = one[: next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)]
    for part in ("What is 40 + 2?", "Short answers are best.", "forty-two"):
        assert part in common


async def test_equal_candidates_are_asked_about_once(workers: WorkerPool) -> None:
    judge = Bench(workers, ['{"score": 5}'])
    verdicts = await judge("42", "42", "41")
    assert [call.n for call in judge.engine.calls] == [4, 4]
    assert verdicts[0] == verdicts[1]


async def test_sampling_is_the_options_alone(workers: WorkerPool) -> None:
    judge = Bench(workers, ['{"score": 5}'])
    for _ in range(2):
        await judge("42", seed=7, temperature=0.3, max_tokens=99, samples=2)
    first, again = judge.engine.calls
    assert (first.sampling.seed, first.sampling.temperature, first.sampling.max_tokens, first.n) == (7, 0.3, 99, 2)
    assert first == again


async def test_a_whole_conversation_and_an_unfinished_answer(workers: WorkerPool) -> None:
    judge = Bench(workers, ['{"score": 5}'])
    call = {"id": "1", "function": {"name": "add", "arguments": "{}"}}
    problem = Problem(
        (
            {"role": "user", "content": "Add."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "42"},
        )
    )
    verifier = Judge().build(judge.resources)
    await verifier.verify(problem, [Candidate("It", finished=False)])
    assert "user: Add.\n\nassistant: [{" in judge.prompts[0]
    assert '"name": "add"' in judge.prompts[0]
    assert "tool: 42" in judge.prompts[0]
    assert "[unfinished answer " in judge.prompts[0]


async def test_leaving_stops_the_judge(workers: WorkerPool) -> None:
    judge = Bench(workers, [Reply("x" * 1000, seconds_per_token=0.01)])
    for mode in ("rubric", "pairwise"):
        task = asyncio.create_task(judge("1", "2", "3", "4", mode=mode))
        while judge.engine.stats.running == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert judge.engine.stats.running == 0


def test_a_served_model_judges(workers: WorkerPool) -> None:
    policy, scorer, other = (ScriptedEngine(["?"]) for _ in range(3))
    lent = Resources(workers, {"tiny": policy, "scorer": scorer, "big": other}, policy="tiny", scorer="scorer")
    for model, engine in ((None, scorer), ("policy", policy), ("big", other)):
        assert Judge(model=model).build(lent).engine is engine
    assert Judge().build(Resources(workers, {"tiny": policy}, policy="tiny")).engine is policy
    with pytest.raises(UnknownName, match=r"'bgi'; known: big, policy, scorer, tiny. Did you mean 'big'"):
        Judge(model="bgi").build(lent)
    with pytest.raises(InvalidRequest, match="no policy"):
        Judge().build(Resources(workers, {}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "rubrik"}, "'chain_of_thought', 'pairwise', 'reference', 'rubric' or 'yes_no'"),
        ({"mode": "reference"}, "needs `reference`"),
        ({"mode": "yes_no", "criteria": [{"name": "style"}]}, "graded in the mode 'rubric', not 'yes_no'"),
        ({"criteria": [{"name": "style"}, {"name": "style"}]}, "different names; got style, style"),
        ({"criteria": [{"name": '"}'}]}, "criteria.0.name"),
        ({"samples": 1000}, "less than or equal to 64"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        parse_verifier({"kind": "judge", **options})


def test_comparing_needs_whole_candidates(workers: WorkerPool) -> None:
    for mode in MODES:
        verifier = Judge(mode=mode, reference="42").build(Bench(workers, []).resources)
        assert verifier.judges is (Judges.OUTCOME if mode == "pairwise" else Judges.PARTIAL)
