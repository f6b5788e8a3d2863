import math
from collections.abc import Sequence
from typing import Any

import pytest

from deliberate.engines.errors import EngineStopped, InvalidRequest, UnknownName
from deliberate.engines.protocol import Capabilities
from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer, ScriptedEngine
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict
from deliberate.verifiers.workers import WorkerPool

PROMPT = tuple(b"Q: ")


class Scorer(ScriptedEngine):
    """Gives digits -2 nats, everything else -1, and remembers what it was asked."""

    def __init__(self, tokenizer: ByteTokenizer | None = None, context_length: int = 200) -> None:
        super().__init__(["ok"], context_length=context_length)
        self.tokenizer = tokenizer or ByteTokenizer()
        self.asked = list[tuple[list[tuple[int, ...]], list[int]]]()

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        if self.failure:
            raise EngineStopped("gone")
        self.asked.append(([tuple(sequence) for sequence in sequences], list(starts)))
        return [
            tuple(-2.0 if chr(token).isdigit() else -1.0 for token in sequence[start:])
            for sequence, start in zip(sequences, starts, strict=True)
        ]


class Foreign(ByteTokenizer):
    fingerprint = "foreign"


def lend(pool: WorkerPool, policy: ScriptedEngine, scorer: ScriptedEngine | None = None) -> Resources:
    engines = {"tiny": policy} | ({} if scorer is None else {"judge": scorer})
    scoring = None if scorer is None else "judge"
    return Resources(pool, engines, policy="tiny", scorer=scoring, step_separator="\n")


def sampled(text: str, logprobs: Sequence[float] | None = None, end: bool = True) -> Candidate:
    ids = (*text.encode(), *([END_OF_SEQUENCE] if end else []))
    return Candidate(text, ids, None if logprobs is None else tuple(logprobs))


async def judge(resources: Resources, *candidates: Candidate, prompt: bool = True, **options: Any) -> list[Verdict]:
    verifier = Likelihood.model_validate(options).build(resources)
    assert verifier.judges is Judges.STEPS
    messages = ({"role": "user", "content": "Q"},)
    return await verifier.verify(Problem(messages, PROMPT if prompt else ()), candidates)


@pytest.mark.parametrize(("rule", "nats"), [("min", -2.0), ("mean", -5 / 4), ("sum", -5.0)])
async def test_aggregates(rule: str, nats: float, workers: WorkerPool) -> None:
    (verdict,) = await judge(lend(workers, Scorer()), sampled("a1b"), aggregate=rule)
    assert verdict.score == pytest.approx(math.exp(nats))
    assert verdict.passed is None
    assert verdict.reason == f"{rule} {nats:.4g} nats"


async def test_one_call_with_exact_ids_for_the_whole_batch(workers: WorkerPool) -> None:
    policy, scorer = Scorer(), Scorer()
    await judge(lend(workers, policy, scorer), sampled("a"), sampled("b1", end=False), sampled("a"))
    ends = [(*PROMPT, ord("a"), END_OF_SEQUENCE), (*PROMPT, ord("b"), ord("1"))]
    assert scorer.asked == [(ends, [len(PROMPT)] * 2)]
    assert policy.asked == []


async def test_another_vocabulary_reads_the_text(workers: WorkerPool) -> None:
    policy, scorer = Scorer(), Scorer(Foreign())
    await judge(lend(workers, policy, scorer), sampled("a"))
    template = scorer.tokenizer.apply_chat_template([{"role": "user", "content": "Q"}])
    assert scorer.asked == [([(*template, ord("a"))], [len(template)])]


async def test_texts_from_outside_need_no_token_ids(workers: WorkerPool) -> None:
    policy = Scorer()
    (verdict,) = await judge(lend(workers, policy), Candidate("a1"), prompt=False, aggregate="sum")
    assert verdict.score == pytest.approx(math.exp(-3))


async def test_the_policys_own_logprobs_cost_no_call(workers: WorkerPool) -> None:
    policy, scorer = Scorer(), Scorer()
    candidate = sampled("ab", [-0.5, -0.25, -0.125])
    (verdict,) = await judge(lend(workers, policy, scorer), candidate, model="policy")
    assert verdict.score == pytest.approx(math.exp(-0.5))
    assert policy.asked == scorer.asked == []


@pytest.mark.parametrize("rule", ["min", "sum"])
async def test_the_ratio_to_the_policy(rule: str, workers: WorkerPool) -> None:
    policy, scorer = Scorer(), Scorer()
    candidates = sampled("a1", [-3.0, -2.0, -1.0]), sampled("a1")
    verdicts = await judge(lend(workers, policy, scorer), *candidates, ratio=True, aggregate=rule)
    nats = {"min": 0.0, "sum": 2.0}[rule]
    assert [verdict.score for verdict in verdicts] == pytest.approx([1 / (1 + math.exp(-nats)), 0.5])
    assert len(policy.asked) == len(scorer.asked) == 1


async def test_steps_and_the_trailing_separator(workers: WorkerPool) -> None:
    (verdict,) = await judge(lend(workers, Scorer()), sampled("ab\n\n1\nc\n"), aggregate="sum")
    assert verdict.steps == pytest.approx([math.exp(-3), math.exp(-4), math.exp(-2)])
    (apart,) = await judge(lend(workers, Scorer()), sampled("ab\n\n1\nc\n"), aggregate="sum", step_separator="\n\n")
    assert apart.steps == pytest.approx([math.exp(-4), math.exp(-6)])


async def test_an_overlong_candidate_does_not_hurt_the_others(workers: WorkerPool) -> None:
    long, short, empty = await judge(lend(workers, Scorer()), sampled("a" * 300), sampled("a"), sampled("", end=False))
    assert (long.status, short.status, empty.status) == ("unavailable", "ok", "unavailable")
    assert "304 tokens exceed the scorer's context of 200" in long.reason


async def test_a_stopped_engine_decides_nothing(workers: WorkerPool) -> None:
    scorer = Scorer()
    scorer.fail(RuntimeError("device"))
    verdicts = await judge(lend(workers, Scorer(), scorer), sampled("a"), sampled("b"))
    assert {(verdict.score, verdict.status) for verdict in verdicts} == {(None, "unavailable")}
    assert "gone" in verdicts[0].reason


async def test_a_hopeless_chain_underflows_to_zero(workers: WorkerPool) -> None:
    policy = Scorer(context_length=4000)
    (verdict,) = await judge(lend(workers, policy), sampled("a" * 2000), aggregate="sum")
    assert (verdict.score, verdict.reason) == (0.0, "sum -2001 nats")


def test_an_unknown_model_is_named_with_the_alternatives(workers: WorkerPool) -> None:
    with pytest.raises(UnknownName, match=r"'jugde'; known: judge, policy, tiny. Did you mean 'judge'") as caught:
        Likelihood(model="jugde").build(lend(workers, Scorer(), Scorer()))
    assert caught.value.param == "verifier.model"


def test_a_ratio_needs_two_models_of_one_vocabulary(workers: WorkerPool) -> None:
    for resources in (lend(workers, Scorer()), lend(workers, Scorer(), Scorer(Foreign()))):
        with pytest.raises(InvalidRequest, match="log-ratio"):
            Likelihood(ratio=True).build(resources)


def test_it_needs_a_model_that_scores(workers: WorkerPool) -> None:
    with pytest.raises(InvalidRequest, match="no policy"):
        Likelihood().build(Resources(workers, {}))
    mute = Scorer()
    mute.capabilities = Capabilities(10, 257, scores=False)
    with pytest.raises(InvalidRequest, match="'tiny' cannot score"):
        Likelihood().build(lend(workers, mute))
