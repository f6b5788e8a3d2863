"""Each strategy on scripted replies: the exact answer, tokens and engine calls."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.errors import EngineStopped, InvalidRequest, SearchFailed
from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.events import Cancelled, Chosen, Failed, Scored, Streamed
from deliberate.search.registry import STRATEGIES, parse_strategy
from deliberate.search.strategies.adaptive_vote import AdaptiveVote, leads_in_the_end
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.search.strategies.majority_vote import MajorityVote
from deliberate.search.strategies.none import NoSearch
from deliberate.search.strategies.weighted_vote import WeightedVote

from .searching import QUESTION, answers, chosen_texts, first_events, search, table

TOKENS = len("<answer>1</answer>") + 1
"""Of a scripted one-digit answer and its end."""


class TestNone:
    async def test_streams_one_sample_as_it_comes(self) -> None:
        engine = ScriptedEngine(["hé"])
        log = await search(NoSearch(), engine, sampling=Sampling(temperature=0, seed=7))
        assert "".join(e.delta.text for e in log.events if isinstance(e, Streamed)) == "hé"
        assert chosen_texts(log) == ["hé"]
        assert log.completion_tokens == 4
        (call,) = engine.calls
        assert (call.n, call.sampling.temperature, call.sampling.seed) == (1, 0, 7)

    async def test_choices_are_independent_samples_in_order(self) -> None:
        log = await search(NoSearch(), ScriptedEngine(["a", "b", "a"]), choices=3)
        assert chosen_texts(log) == ["a", "b", "a"]

    async def test_one_failed_choice_does_not_lose_the_others(self) -> None:
        log = await search(NoSearch(), ScriptedEngine(["a", Reply("", finish="error")]), choices=2)
        assert chosen_texts(log) == ["a"]


class TestMajorityVote:
    async def test_most_frequent_answer_wins(self) -> None:
        engine = ScriptedEngine(answers(1, 2, 2, 3, "2.0"))
        log = await search(MajorityVote(n=5), engine, sampling=Sampling(seed=40))
        assert chosen_texts(log) == ["<answer>2</answer>"]
        assert log.chosen.choices[0].weight == 3, "2 and 2.0 are one answer"
        assert log.chosen.fallback is None
        assert log.completion_tokens == 5 * TOKENS + 2
        assert [(c.n, c.sampling.seed) for c in engine.calls] == [(5, 40)]

    async def test_choices_are_the_top_distinct_answers(self) -> None:
        log = await search(MajorityVote(n=6), ScriptedEngine(answers(1, 2, 2, 3, 3, 3)), choices=3)
        assert chosen_texts(log) == list(map(str, answers(3, 2, 1)))
        assert [c.weight for c in log.chosen.choices] == [3, 2, 1]

    async def test_a_tie_goes_to_the_more_confident_group(self) -> None:
        engine = ScriptedEngine([Reply("<answer>1</answer>", logprob=-0.5), Reply("<answer>2</answer>", logprob=-0.2)])
        assert chosen_texts(await search(MajorityVote(n=4), engine)) == ["<answer>2</answer>"]

    async def test_a_full_tie_goes_to_the_earliest(self) -> None:
        assert chosen_texts(await search(MajorityVote(n=4), ScriptedEngine(answers(2, 1)))) == ["<answer>2</answer>"]

    async def test_a_truncated_candidate_does_not_vote(self) -> None:
        cut = Reply("<answer>9</answer>", finish="length")
        log = await search(MajorityVote(n=3), ScriptedEngine([cut, cut, "<answer>1</answer>"]))
        assert chosen_texts(log) == ["<answer>1</answer>"]
        assert [r.status for r in log.candidates] == ["truncated", "truncated", "finished"]

    async def test_no_readable_answer_falls_back_to_the_likeliest_and_says_so(self) -> None:
        long = "no number in this long line of words, which nobody could take for a short answer"
        engine = ScriptedEngine([Reply(long + "!", logprob=-0.9), Reply(long + "?", logprob=-0.3)])
        log = await search(MajorityVote(n=2), engine)
        assert chosen_texts(log) == [long + "?"]
        assert log.chosen.fallback is not None and "compared" in log.chosen.fallback

    async def test_a_failed_sample_has_no_vote(self) -> None:
        engine = ScriptedEngine([*answers(1, 2, 2), Reply("<answer>1</answer>", finish="error")])
        log = await search(MajorityVote(n=4), engine)
        assert chosen_texts(log) == ["<answer>2</answer>"]
        assert [e.detail for e in log.events if isinstance(e, Failed)] == ["scripted failure"]
        assert [r.detail for r in log.candidates if r.status == "failed"] == ["scripted failure"]
        assert log.completion_tokens == 4 * TOKENS - 1

    async def test_all_samples_failed(self) -> None:
        with pytest.raises(SearchFailed, match="All 2 samples failed: scripted failure"):
            await search(MajorityVote(n=2), ScriptedEngine([Reply("x", finish="error")]))

    async def test_cold_requests_are_warmed_and_others_left_alone(self) -> None:
        engine = ScriptedEngine(answers(1))
        await search(MajorityVote(n=2), engine, sampling=Sampling(temperature=0))
        await search(MajorityVote(n=2), engine, sampling=Sampling(temperature=0.9))
        await search(MajorityVote(n=1), engine, sampling=Sampling(temperature=0))
        await search(MajorityVote(n=2, min_temperature=0), engine, sampling=Sampling(temperature=0))
        assert [c.sampling.temperature for c in engine.calls] == [0.6, 0.9, 0, 0]


class TestAdaptiveVote:
    @pytest.mark.parametrize("votes", [(0, 0, 0), (3, 0, 0), (3, 1, 2), (2, 2, 5), (0, 0, 4)])
    @pytest.mark.parametrize("remaining", [0, 1, 2, 5])
    def test_the_chance_is_that_of_drawing_the_rest_one_by_one(
        self, votes: tuple[int, int, int], remaining: int
    ) -> None:
        def drawn(leader: int, runner_up: int, others: int, left: int) -> Fraction:
            """Each next sample votes in proportion to the votes so far, plus one for each kind."""
            if left == 0:
                return Fraction((leader > runner_up) * 2 + (leader == runner_up), 2)
            total = leader + runner_up + others + 3
            return (
                Fraction(leader + 1, total) * drawn(leader + 1, runner_up, others, left - 1)
                + Fraction(runner_up + 1, total) * drawn(leader, runner_up + 1, others, left - 1)
                + Fraction(others + 1, total) * drawn(leader, runner_up, others + 1, left - 1)
            )

        assert leads_in_the_end(*votes, remaining) == pytest.approx(float(drawn(*votes, remaining)))

    @pytest.mark.parametrize(
        ("leader", "runner_up", "expected"),
        [(0, 0, 1 / 2), (4, 0, 31 / 32), (3, 0, 15 / 16), (3, 3, 1 / 2), (5, 1, 120 / 128)],
    )
    def test_with_many_to_come_it_is_the_beta_posterior(self, leader: int, runner_up: int, expected: float) -> None:
        assert leads_in_the_end(leader, runner_up, 0, 1000) == expected

    async def test_three_equal_votes_decide_sixteen(self) -> None:
        engine = ScriptedEngine(answers(5))
        log = await search(AdaptiveVote(n=16), engine, sampling=Sampling(seed=3))
        assert [(c.n, c.sampling.seed) for c in engine.calls] == [(3, 3)]
        assert log.completion_tokens == 3 * TOKENS
        assert log.chosen.reason.startswith(
            "stopped after 3 of 16 samples: 3 votes against 0 win with probability 0.96"
        )

    async def test_waves_are_as_small_as_could_decide_and_continue_the_seeds(self) -> None:
        engine = ScriptedEngine(answers(5, 6, 5, 5, 5, 5))
        log = await search(AdaptiveVote(n=16), engine, sampling=Sampling(seed=3))
        # 2 to 1 after three; 5 to 1 with ten to come is the first lead that wins with more than 0.95.
        assert [(c.n, c.sampling.seed) for c in engine.calls] == [(3, 3), (3, 6)]
        assert chosen_texts(log) == ["<answer>5</answer>"]

    async def test_stops_when_the_rest_cannot_change_the_winner(self) -> None:
        engine = ScriptedEngine(answers(1, 1, 1, 2, 2, 2, 1, 1, 2))
        log = await search(AdaptiveVote(n=9, threshold=0.9999), engine)
        # 5 to 3 after eight: the ninth, though it would have voted against, is never drawn.
        assert len(log.candidates) == 8
        assert sum(call.n for call in engine.calls) == 8

    async def test_a_larger_wave_is_cancelled_once_it_is_decided_and_counts(self) -> None:
        engine = ScriptedEngine([*answers(1, 1, 1), *(Reply("x" * 500) for _ in range(5))])
        log = await search(AdaptiveVote(n=16, min_wave=8), engine)
        assert [call.n for call in engine.calls] == [8]
        cancelled = [e for e in log.events if isinstance(e, Cancelled)]
        assert [e.index for e in cancelled] == [3, 4, 5, 6, 7]
        assert all(0 < e.tokens < 500 for e in cancelled)
        assert log.completion_tokens == 3 * TOKENS + sum(e.tokens for e in cancelled)
        assert engine.stats.running == 0

    async def test_trap_early_exit_heeds_consistency(self) -> None:
        """As many answers, as sure of themselves: those that agree end the vote, those that differ do not."""
        agreeing = await search(AdaptiveVote(n=8), ScriptedEngine(answers(1)))
        differing = await search(AdaptiveVote(n=8), ScriptedEngine(answers(1, 2, 3, 4, 5, 6, 7, 8)))
        assert len(agreeing.candidates) < 8
        assert len(differing.candidates) == 8

    async def test_an_even_split_draws_everything(self) -> None:
        log = await search(AdaptiveVote(n=8), ScriptedEngine(answers(1, 2)))
        assert len(log.candidates) == 8
        assert log.chosen.reason == "all 8 samples ended"

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 24))
    @settings(max_examples=60, deadline=None)
    def test_agrees_with_the_full_vote_when_all_were_drawn(self, values: list[int], n: int) -> None:
        async def both() -> None:
            adaptive = await search(AdaptiveVote(n=n), ScriptedEngine(answers(*values)))
            if all(record.status == "finished" for record in adaptive.candidates) and len(adaptive.candidates) == n:
                full = await search(MajorityVote(n=n), ScriptedEngine(answers(*values)))
                assert chosen_texts(adaptive) == chosen_texts(full)

        asyncio.run(both())


class TestBestOfN:
    async def test_highest_score_wins(self) -> None:
        config, verifier = table({"a": 0.2, "b": 0.9, "c": 0.5})
        engine = ScriptedEngine(["a", "b", "c"])
        log = await search(BestOfN(n=3), engine, verifier=config)
        assert chosen_texts(log) == ["b"]
        assert log.chosen.choices[0].weight == 0.9
        assert [(e.index, e.verdict.score) for e in log.events if isinstance(e, Scored)] == [
            (0, 0.2),
            (1, 0.9),
            (2, 0.5),
        ]
        assert verifier.asked == [["a", "b", "c"]]

    async def test_equal_texts_are_judged_once_for_all_of_them(self) -> None:
        config, verifier = table({"a": 0.2, "b": 0.9})
        log = await search(BestOfN(n=4), ScriptedEngine(["a", "a", "b", "a"]), verifier=config)
        assert (verifier.asked, verifier.copies) == ([["a", "b"]], [[3, 1]])
        assert sum(isinstance(e, Scored) for e in log.events) == 4

    async def test_ties_go_to_the_answer_more_candidates_give(self) -> None:
        config, _ = table({str(text): 1.0 for text in answers(1, 2)})
        log = await search(BestOfN(n=3), ScriptedEngine(answers(1, 2, 2)), verifier=config)
        assert chosen_texts(log) == ["<answer>2</answer>"]

    async def test_an_undecided_candidate_is_not_a_zero(self) -> None:
        config, _ = table({"a": 0.0})
        log = await search(BestOfN(n=2), ScriptedEngine(["b", "a"]), verifier=config)
        assert chosen_texts(log) == ["a"], "the judged one wins, even at 0: nothing is known of the other"
        assert "1 of 2 candidates could not be judged (not in the table)" in log.chosen.reason

    async def test_a_verifier_that_decides_nothing_leaves_it_to_the_majority(self) -> None:
        config, _ = table({})
        log = await search(BestOfN(n=3), ScriptedEngine(answers(1, 2, 2)), verifier=config)
        assert chosen_texts(log) == ["<answer>2</answer>"]
        assert log.chosen.fallback is not None and "not in the table" in log.chosen.fallback

    async def test_truncated_candidates_do_not_win(self) -> None:
        config, _ = table({"a": 0.9, "b": 0.1})
        log = await search(BestOfN(n=2), ScriptedEngine([Reply("a", finish="length"), "b"]), verifier=config)
        assert chosen_texts(log) == ["b"]

    async def test_needs_a_verifier(self) -> None:
        engine = ScriptedEngine(["a"])
        with pytest.raises(InvalidRequest, match=r"'best_of_n' needs a verifier.*agent_format, calculator, .*json"):
            await search(BestOfN(n=2), engine)
        assert engine.calls == []

    async def test_more_choices_than_candidates_are_refused(self) -> None:
        config, _ = table({})
        with pytest.raises(InvalidRequest, match=r"n = 3 answers.*2 candidates"):
            await search(BestOfN(n=2), ScriptedEngine(["a"]), verifier=config, choices=3)


class TestWeightedVote:
    async def test_summed_scores_decide(self) -> None:
        texts = [f"{i}<answer>{a}</answer>" for i, a in enumerate([1, 1, 1, 2, 2])]
        config, _ = table(dict(zip(texts, [0.1, 0.2, 0.1, 0.5, 0.4], strict=True)))
        log = await search(WeightedVote(n=5), ScriptedEngine(list(texts)), verifier=config, choices=2)
        assert chosen_texts(log) == [texts[3], texts[1]], "the best-scored candidate speaks for its answer"
        assert [c.weight for c in log.chosen.choices] == pytest.approx([0.9, 0.4])

    async def test_without_readable_answers_the_best_score_wins(self) -> None:
        long = "no number in this long line of words, which nobody could take for a short answer"
        config, _ = table({long + "!": 0.2, long + "?": 0.7})
        log = await search(WeightedVote(n=2), ScriptedEngine([long + "!", long + "?"]), verifier=config)
        assert chosen_texts(log) == [long + "?"]
        assert log.chosen.fallback is not None


EVERY = sorted(STRATEGIES)


@pytest.mark.parametrize("kind", EVERY)
class TestEvery:
    async def test_ends_with_exactly_one_choice_and_leaves_nothing(self, kind: str) -> None:
        config, _ = table({"<answer>1</answer>": 0.5, "<answer>2</answer>": 0.6})
        engine = ScriptedEngine(answers(1, 2, 1))
        log = await search(parse_strategy(kind), engine, verifier=config)
        assert isinstance(log.events[-1], Chosen)
        assert sum(isinstance(e, Chosen) for e in log.events) == 1
        assert log.completion_tokens == engine.stats.generated_tokens_total
        assert engine.stats.running == 0

    @pytest.mark.parametrize("stop_after", [1, 2, 5])
    async def test_closing_it_at_any_event_stops_the_engine(self, kind: str, stop_after: int) -> None:
        config, _ = table({"<answer>1</answer>": 0.5})
        engine = ScriptedEngine(answers(1))
        await first_events(parse_strategy(kind), engine, stop_after, verifier=config)
        assert engine.stats.running == 0

    async def test_a_dying_engine_is_an_error(self, kind: str) -> None:
        config, _ = table({})
        engine = ScriptedEngine([Reply("x" * 100, seconds_per_token=0.001)])
        task = asyncio.create_task(search(parse_strategy(kind), engine, verifier=config))
        while engine.stats.running == 0:
            await asyncio.sleep(0)
        engine.fail(RuntimeError("device lost"))
        with pytest.raises(EngineStopped, match="device lost"):
            await task


class TestEngines:
    """What the engine must be able to do."""

    class Continuing(NoSearch, frozen=True):
        continues = True

    async def test_beginnings_need_token_ids(self) -> None:
        engine = ScriptedEngine(["a"], token_ids=False)
        with pytest.raises(InvalidRequest, match=r"'none' extends given beginnings.*'policy'") as refused:
            await search(self.Continuing(), engine)
        assert refused.value.param == "strategy" and engine.calls == []
        assert chosen_texts(await search(self.Continuing(), ScriptedEngine(["a"]))) == ["a"]

    async def test_whole_answers_need_none(self) -> None:
        engine = ScriptedEngine(["<answer>1</answer>", "<answer>2</answer>", "<answer>2</answer>"], token_ids=False)
        log = await search(MajorityVote(n=3), engine)
        assert chosen_texts(log) == ["<answer>2</answer>"]
        assert log.completion_tokens == 3 * TOKENS
        assert log.prompt_tokens == len(engine.tokenizer.apply_chat_template([QUESTION]))
