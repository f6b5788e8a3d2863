"""Strategies over many questions, and engines that remember their samples: the exact figures on scripted replies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from deliberate.engines.errors import UnknownName
from deliberate.engines.protocol import Prompt, Sample, SampleBuilder, Sampling
from deliberate.engines.scripted import Reply, Script, ScriptedEngine
from deliberate.search.evaluation import Evaluation, Outcome, Question, evaluate, question_seed
from deliberate.search.recording import RecordingEngine
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.search.strategies.majority_vote import MajorityVote
from deliberate.search.strategies.none import NoSearch
from deliberate.search.strategies.weighted_vote import WeightedVote
from deliberate.search.strategy import Strategy
from deliberate.verifiers.pattern import Pattern
from deliberate.verifiers.protocol import Resources, VerifierConfig
from deliberate.verifiers.workers import WorkerPool

from .searching import answers, table

TOKENS = len("<answer>1</answer>") + 1
"""Of a scripted one-digit answer and its end."""
SAMPLING = Sampling(seed=3)
REPLIES = {"a": answers(4, 4, 5, 4), "b": answers(1, 2, 2, 3)}


def question(name: str, right: int) -> Question:
    grader = Pattern(pattern=f"<answer>{right}</answer>", mode="fullmatch")
    return Question(name, ({"role": "user", "content": name},), grader)


QUESTIONS = [question("a", 4), question("b", 1)]


def by_question(replies: Mapping[str, Sequence[Reply | str]]) -> Script:
    """Each question's own replies, in order, for ever."""
    started = Counter[str]()

    def script(prompt: str, number: int) -> Reply:
        name = prompt.removeprefix("user: ")[0]
        reply = replies[name][started[name] % len(replies[name])]
        started[name] += 1
        return Reply(reply) if isinstance(reply, str) else reply

    return script


async def evaluated(
    strategy: Strategy,
    engine: ScriptedEngine | RecordingEngine,
    questions: Sequence[Question] = QUESTIONS,
    verifier: VerifierConfig | None = None,
) -> Evaluation:
    resources = Resources(WorkerPool(), {"policy": engine}, policy="policy")
    return await evaluate(strategy, questions, resources, SAMPLING, default_verifier=verifier)


async def drawn(engine: RecordingEngine, seed: int, n: int) -> list[Sample | None]:
    builders = [SampleBuilder() for _ in range(n)]
    samples: list[Sample | None] = [None] * n
    async for delta in engine.generate(Prompt(tuple(b"?")), Sampling(seed=seed), n):
        samples[delta.index] = builders[delta.index].add(delta)
    return samples


class TestEvaluate:
    async def test_the_figures_of_a_vote(self) -> None:
        evaluation = await evaluated(MajorityVote(n=4), ScriptedEngine(by_question(REPLIES)))
        assert evaluation.outcomes == (
            Outcome(True, (True, True, False, True), (None,) * 4, 4 * TOKENS),
            Outcome(False, (True, False, False, False), (None,) * 4, 4 * TOKENS),
        )
        assert evaluation.accuracy == 0.5
        assert evaluation.standard_error == pytest.approx((0.25 / 2) ** 0.5)
        assert evaluation.tokens == 8 * TOKENS
        # Of two drawn from four: three right ones always, one right one in half of the pairs.
        assert [evaluation.pass_at(k) for k in (1, 2, 3, 4, 9)] == [0.5, 0.75, 0.875, 1.0, 1.0]

    async def test_scores_stand_beside_the_candidates(self) -> None:
        verifier, _ = table({"<answer>4</answer>": 0.25, "<answer>5</answer>": 0.5, "<answer>1</answer>": 1.0})
        evaluation = await evaluated(BestOfN(n=4), ScriptedEngine(by_question(REPLIES)), verifier=verifier)
        assert [o.scores for o in evaluation.outcomes] == [(0.25, 0.25, 0.5, 0.25), (1.0, None, None, None)]
        assert [o.right for o in evaluation.outcomes] == [False, True]

    async def test_a_failed_candidate_is_none_and_a_cut_one_has_no_score(self) -> None:
        cut, failed = Reply("<answer>4</answer>", finish="length"), Reply("", finish="error")
        engine = ScriptedEngine(by_question({"a": [failed, cut, *answers(5)]}))
        verifier, _ = table({"<answer>5</answer>": 0.5})
        (outcome,) = (await evaluated(BestOfN(n=3), engine, QUESTIONS[:1], verifier)).outcomes
        assert outcome == Outcome(False, (True, False), (None, 0.5), 2 * TOKENS - 1)

    async def test_a_questions_seed_is_its_own_whatever_the_strategy_and_the_other_questions(self) -> None:
        engine = ScriptedEngine(by_question(REPLIES))
        await evaluated(NoSearch(), engine)
        await evaluated(MajorityVote(n=2), engine, QUESTIONS[::-1])
        await evaluated(MajorityVote(n=4), engine, QUESTIONS[1:])
        a, b = question_seed(3, "a"), question_seed(3, "b")
        assert [call.sampling.seed for call in engine.calls] == [a, b, b, a, b]
        assert len({a, b, question_seed(4, "a")}) == 3
        assert max(a, b) < 2**48

    async def test_a_strategy_asks_each_question_its_own_hint(self) -> None:
        to_four, _ = table({"<answer>4</answer>": 1.0, "<answer>5</answer>": 0.0})
        to_three, _ = table({f"<answer>{n}</answer>": n / 10 for n in range(4)})
        questions = [replace(QUESTIONS[0], hints={"sum": to_four}), replace(QUESTIONS[1], hints={"sum": to_three})]
        resources = Resources(WorkerPool(), {"policy": ScriptedEngine(by_question(REPLIES))}, policy="policy")
        other, seen = table({})
        evaluation = await evaluate(BestOfN(n=4), questions, resources, SAMPLING, default_verifier=other, hint="sum")
        assert [o.scores for o in evaluation.outcomes] == [(1.0, 1.0, 0.0, 1.0), (0.1, 0.2, 0.2, 0.3)]
        assert [o.right for o in evaluation.outcomes] == [True, False]
        assert not seen.asked
        with pytest.raises(UnknownName, match=r"Unknown verifier 'sun'; known: sum\."):
            await evaluate(BestOfN(n=4), questions, resources, SAMPLING, hint="sun")

    async def test_what_cannot_be_graded_is_wrong_and_says_why(self) -> None:
        grader, _ = table({"<answer>5</answer>": 0.5})
        questions = [replace(QUESTIONS[0], grader=grader)]
        (outcome,) = (await evaluated(MajorityVote(n=4), ScriptedEngine(by_question(REPLIES)), questions)).outcomes
        assert outcome == Outcome(False, (False,) * 4, (None,) * 4, 4 * TOKENS, "not in the table")

    async def test_questions_run_together_up_to_a_limit_and_each_outcome_is_told(self) -> None:
        beside: list[int] = []

        def script(prompt: str, number: int) -> Reply:
            beside.append(engine.stats.running)
            return Reply("<answer>4</answer>")

        engine = ScriptedEngine(script)
        told: list[Outcome] = []
        evaluation = await evaluate(
            NoSearch(),
            [question(name, 4) for name in "abcde"],
            Resources(WorkerPool(), {"policy": engine}, policy="policy"),
            SAMPLING,
            concurrency=2,
            done=told.append,
        )
        assert max(beside) == 1
        assert told == list(evaluation.outcomes)
        assert evaluation.accuracy == 1


class TestRecordingEngine:
    async def test_replay_compares_strategies_on_the_same_samples_and_draws_nothing_anew(self) -> None:
        engine = ScriptedEngine(by_question(REPLIES))
        recorder = RecordingEngine(engine, replay=True)
        verifier, _ = table({"<answer>4</answer>": 0.25, "<answer>5</answer>": 0.5, "<answer>1</answer>": 1.0})
        vote = await evaluated(MajorityVote(n=4), recorder)
        best = await evaluated(BestOfN(n=4), recorder, verifier=verifier)
        weighted = await evaluated(WeightedVote(n=4), recorder, verifier=verifier)
        narrow = await evaluated(MajorityVote(n=2), recorder)
        assert [(call.n, call.sampling.seed) for call in engine.calls] == [
            (4, question_seed(3, "a")),
            (4, question_seed(3, "b")),
        ]
        assert [[o.right for o in e.outcomes] for e in (vote, best, weighted)] == [
            [True, False],
            [False, True],
            [True, True],
        ]
        assert [o.candidates_right for o in narrow.outcomes] == [(True, True), (True, False)]
        assert narrow.tokens == 4 * TOKENS, "replayed tokens count as if they had been drawn"

    async def test_without_replay_everything_is_drawn_again(self) -> None:
        engine = ScriptedEngine(["a", "b", "c", "d"])
        recorder = RecordingEngine(engine)
        first, second = await drawn(recorder, 0, 2), await drawn(recorder, 0, 2)
        assert [s and s.text for s in first + second] == ["a", "b", "c", "d"]

    async def test_a_wider_search_draws_only_what_is_missing(self) -> None:
        engine = ScriptedEngine(["one", "three", "zero", "two", "four"])
        recorder = RecordingEngine(engine, replay=True)
        known = [*await drawn(recorder, 11, 1), *await drawn(recorder, 13, 1)]
        samples = await drawn(recorder, 10, 5)
        assert [s and s.text for s in samples] == ["zero", "one", "two", "three", "four"]
        assert samples[1::2] == known
        assert [(c.sampling.seed, c.n) for c in engine.calls] == [(11, 1), (13, 1), (10, 1), (12, 1), (14, 1)]
        assert await drawn(recorder, 10, 5) == samples
        assert len(engine.calls) == 5

    async def test_another_prompt_or_sampling_is_not_replayed(self) -> None:
        engine = ScriptedEngine(["a"])
        recorder = RecordingEngine(engine, replay=True)
        for prompt, temperature in ((b"?", 1.0), (b"!", 1.0), (b"?", 0.5), (b"?", 1.0)):
            async for _ in recorder.generate(Prompt(tuple(prompt)), Sampling(temperature=temperature)):
                pass
        assert [c.prompt_ids for c in engine.calls] == [tuple(b"?"), tuple(b"!"), tuple(b"?")]

    async def test_an_abandoned_sample_is_drawn_again(self) -> None:
        engine = ScriptedEngine(["long"])
        recorder = RecordingEngine(engine, replay=True)
        deltas = recorder.generate(Prompt(tuple(b"?")), Sampling())
        await anext(deltas)
        await deltas.aclose()
        assert engine.stats.running == 0, "leaving the recorder stops the engine"
        await drawn(recorder, 0, 1)
        assert len(engine.calls) == 2

    @pytest.mark.parametrize(("replay", "computed"), [(True, [1, 2, 2]), (False, [1, 2, 1, 2, 2])])
    async def test_scores_are_replayed_too_and_equal_sequences_scored_once(
        self, replay: bool, computed: list[int]
    ) -> None:
        asked: list[int] = []

        def logprob(sequence: Sequence[int], position: int) -> float:
            asked.append(position)
            return -float(position)

        recorder = RecordingEngine(ScriptedEngine(["x"], token_logprob=logprob), replay=replay)
        assert await recorder.score([b"abc", b"abc"], [1, 1]) == [(-1.0, -2.0), (-1.0, -2.0)]
        assert await recorder.score([b"abc", b"abc"], [1, 2]) == [(-1.0, -2.0), (-2.0,)]
        assert asked == computed
