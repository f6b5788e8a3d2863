"""Particle filtering: the resampling, the exact population, and what must not happen."""

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply
from deliberate.search.budget import Limits
from deliberate.search.events import PROMPT, Cancelled, Completed, Expanded, Pruned
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.particle_filtering import ParticleFiltering, log_odds, resample
from tests.search.growing import by_place, grow, judged_by, tree_of

FOUR = ParticleFiltering(particles=4, speculate=False)
SCORES = {"a": 0.8, "b": 0.5, "c": 0.2, "d": 0.6, "e": 0.75, "1": 0.3, "2": 0.7}

WEIGHTS = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324]), max_size=40)
DRAWS = st.floats(0, 1, exclude_max=True)


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    return SCORES[text.replace("<answer>", "").replace("</answer>", "").split()[-1][-1]]


def letters() -> dict[str, list[Reply | str]]:
    return {
        "": ["a", "b", "c", "d"],
        "a\n\n": ["e", "<answer>2</answer>"],
        "b\n\n": ["c"],
        "d\n\n": ["b"],
        "a\n\ne\n\n": ["<answer>1</answer>"],
        "d\n\nb\n\n": ["<answer>2</answer>"],
    }


def stretched(slow: str) -> dict[str, list[Reply | str]]:
    """First steps of which the slow are 40 letters long; all other chains give answers that depend on the chain."""
    replies: dict[str, list[Reply | str]] = defaultdict(lambda: ["<answer>1</answer>", "<answer>2</answer>"])
    firsts = [letter * (40 if letter in slow else 1) for letter in "abcd"]
    replies[""] = list(firsts)
    for first in firsts:
        replies[f"{first}\n\n"] = ["e", "<answer>1</answer>", "a", "b"]
    return replies


class TestResample:
    @given(weights=WEIGHTS, count=st.integers(0, 200), draw=DRAWS)
    def test_each_gets_its_expected_number_rounded_up_or_down(
        self, weights: list[float], count: int, draw: float
    ) -> None:
        shares = resample(weights, count, draw)
        total = sum(weights)
        assert sum(shares) == (count if total else 0)
        assert all(abs(n - count * w / total) < 1 + 1e-6 for n, w in zip(shares, weights, strict=True) if total)
        assert all(n == 0 for n, w in zip(shares, weights, strict=True) if w == 0)

    @given(weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=8), count=st.integers(1, 16))
    def test_it_is_unbiased(self, weights: list[float], count: int) -> None:
        draws = [(i + 0.5) / 500 for i in range(500)]
        drawn = [resample(weights, count, draw) for draw in draws]
        for i, weight in enumerate(weights):
            mean = sum(shares[i] for shares in drawn) / len(draws)
            assert mean == pytest.approx(count * weight / sum(weights), abs=2.1 / len(draws))

    def test_equal_particles_all_survive(self) -> None:
        assert resample([0.3] * 7, 7, 0.99) == [1] * 7

    def test_by_hand(self) -> None:
        # Points at 0.5, 1.5, 2.5, 3.5 of 4; the particles end at 2.4, 3.0 and 4.
        assert resample([0.6, 0.15, 0.25], 4, 0.5) == [2, 1, 1]
        # Points at 0.1, 1.1, 2.1, 3.1.
        assert resample([0.6, 0.15, 0.25], 4, 0.1) == [3, 0, 1]

    def test_certain_verifiers_have_finite_weight(self) -> None:
        assert log_odds(0.5) == 0
        assert log_odds(1.0) == pytest.approx(-log_odds(0.0))
        assert 15 < log_odds(1.0) < 17


@pytest.mark.asyncio
class TestSearch:
    async def test_the_exact_tree(self) -> None:
        draws = Random(0)
        assert [round(draws.random(), 3) for _ in range(2)] == [0.844, 0.758]
        engine = by_place(letters())
        verifier, judge = judged_by(last_letter)
        log = await grow(FOUR, engine, verifier, Sampling(seed=0, temperature=0.9))
        assert tree_of(log.events) == {
            # Odds of 4, 1, 1/4, 3/2: on a line of length 4 these end at 2.37, 2.96, 3.11, 4.
            0: (PROMPT, "a"),
            1: (PROMPT, "b"),
            2: (PROMPT, "c"),
            3: (PROMPT, "d"),
            # The points are 0.844, 1.844, 2.844, 3.844. Odds of 3, 7/3, 1/4, 1 end at 1.82, 3.24, 3.39, 4.
            4: (0, "e"),
            5: (0, "<answer>2</answer>"),
            6: (1, "c"),
            7: (3, "b"),
            # The points are 0.758, 1.758, 2.758, 3.758: the chain that ended keeps its place.
            8: (4, "<answer>1</answer>"),
            9: (4, "<answer>1</answer>"),
            10: (7, "<answer>2</answer>"),
        }
        assert [e.index for e in log.events if isinstance(e, Pruned)] == [2, 6]
        assert sorted(e.index for e in log.events if isinstance(e, Completed)) == [5, 8, 9, 10]
        assert log.completion_tokens == 7 * 3 + 4 * 19 == engine.stats.generated_tokens_total
        assert log.sample(log.chosen.choices[0].index).text == "a\n\n<answer>2</answer>"
        assert (log.chosen.choices[0].weight, log.chosen.reason) == (0.7, "4 chains ended"), "the best score"
        assert [call.n for call in engine.calls] == [4, 2, 1, 1, 2, 1]
        assert len({call.sampling.seed for call in engine.calls}) == 6, "each chain draws with its own seeds"
        assert sum(map(len, judge.asked)) == 10, "equal chains are judged once"

    async def test_chains_that_ended_stay_in_the_population(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(letters()), verifier, Sampling(seed=2))
        # The second points are 0.948, 1.948, 2.948, 3.948: two on the chain that ended, so only two go on.
        assert [tree_of(log.events)[index][0] for index in (8, 9)] == [4, 7]
        assert len(tree_of(log.events)) == 10
        assert log.chosen.reason == "3 chains ended"

    async def test_the_search_is_over_when_all_places_went_to_chains_that_ended(self) -> None:
        verifier, _ = judged_by(lambda text: 1.0 if "answer" in text else 0.0)
        engine = by_place({"": ["<answer>2</answer>", "a", "b", "c"]})
        log = await grow(FOUR, engine, verifier)
        assert len(engine.calls) == 1
        assert log.sample(log.chosen.choices[0].index).text == "<answer>2</answer>"

    async def test_the_weights_are_odds_to_the_power_of_the_inverse_temperature(self) -> None:
        parents: list[list[int]] = []
        for temperature in (0.1, 1.0, 100):
            verifier, _ = judged_by(last_letter)
            engine = by_place({"": ["a", "b", "c", "d"]} | {f"{x}\n\n": ["<answer>1</answer>"] for x in "abcd"})
            strategy = ParticleFiltering(particles=4, softmax_temperature=temperature, speculate=False)
            log = await grow(strategy, engine, verifier, Sampling(seed=0))
            parents.append([tree_of(log.events)[index][0] for index in range(4, 8)])
        assert parents == [[0, 0, 0, 0], [0, 0, 1, 3], [0, 1, 2, 3]]

    async def test_copies_weigh_together_and_share_a_call(self) -> None:
        engine = by_place({"": ["a", "a", "d", "a"], "a\n\n": ["<answer>1</answer>"], "d\n\n": ["<answer>2</answer>"]})
        verifier, judge = judged_by(lambda text: 0.5)
        log = await grow(FOUR, engine, verifier)
        assert [call.n for call in engine.calls] == [4, 3, 1]
        assert [(e.index, e.reason) for e in log.events if isinstance(e, Pruned)] == [
            (1, "the same chain as that of step 0"),
            (3, "the same chain as that of step 0"),
        ]
        assert sum(asked.count("a\n\n") for asked in judge.asked) == 1, "judged once"

    async def test_likely_chains_go_on_while_siblings_run(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(ParticleFiltering(particles=4), by_place(stretched("c")), verifier)
        slow = next(at for at, e in enumerate(log.events) if isinstance(e, Expanded) and e.index == 2)
        assert {e.parent for e in log.events[:slow] if isinstance(e, Expanded)} >= {PROMPT, 0}

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("slow", ["a", "b", "d", "bc", "abd"])
    async def test_speculation_changes_no_answer(self, slow: str, seed: int) -> None:
        ended: list[tuple[str, float, str]] = []
        for speculate in (True, False):
            verifier, _ = judged_by(last_letter)
            strategy = ParticleFiltering(particles=4, speculate=speculate, pick="weighted_vote")
            log = await grow(strategy, by_place(stretched(slow)), verifier, Sampling(seed=seed))
            choice = log.chosen.choices[0]
            ended.append((log.sample(choice.index).text, round(choice.weight, 9), log.chosen.reason))
        assert ended[0] == ended[1]

    async def test_what_runs_ahead_of_a_decision_against_it_stops(self) -> None:
        replies = stretched("abd") | {"c\n\n": [Reply("x" * 500)]}
        verifier, _ = judged_by(last_letter)
        engine = by_place(defaultdict(lambda: ["<answer>1</answer>"], replies))
        log = await grow(ParticleFiltering(particles=4), engine, verifier)
        (stopped,) = [e for e in log.events if isinstance(e, Cancelled)]
        assert stopped.parent == 2
        assert 0 < stopped.tokens < 500

    async def test_trap_length_stop_is_no_end(self) -> None:
        cut = Reply("a a a a a a a a a", "length")
        engine = by_place({"": [cut, "b"], "b\n\n": ["<answer>2</answer>"]})
        verifier, judge = judged_by(last_letter)
        log = await grow(ParticleFiltering(particles=2), engine, verifier)
        assert [c.status for c in log.candidates] == ["truncated", "finished", "finished"], "both places go to b"
        assert {c.text for c in judge.candidates if c.finished} == {"b\n\n<answer>2</answer>"}

    async def test_trap_truncated_chains_do_not_vote(self) -> None:
        cut = Reply("<answer>1</answer>", "length")
        verifier, _ = judged_by(lambda text: 0.9 if "1" in text else 0.1)
        log = await grow(ParticleFiltering(particles=3), by_place({"": [cut, cut, "<answer>2</answer>"]}), verifier)
        assert log.sample(log.chosen.choices[0].index).text == "<answer>2</answer>"

    async def test_trap_a_trailing_separator_opens_no_step(self) -> None:
        engine = by_place({"": [Reply("<answer>2</answer>\n\n")], "<answer>2</answer>\n\n": [Reply("")]})
        verifier, _ = judged_by(last_letter)
        log = await grow(ParticleFiltering(particles=2), engine, verifier)
        assert {c.sample.text for c in log.candidates if c.sample} == {"<answer>2</answer>\n\n"}
        assert log.chosen.choices[0].weight == 0.7, "the score of the step before the separator"

    async def test_what_cannot_be_judged_weighs_as_the_chain_before_it(self) -> None:
        verifier, _ = judged_by(lambda text: None if text == "a\n\ne\n\n" else last_letter(text))
        log = await grow(FOUR, by_place(letters()), verifier, Sampling(seed=0))
        # With the 4 of a the odds end at 2.11, 3.34, 3.47, 4: the points are as before.
        assert [tree_of(log.events)[index][0] for index in (8, 9, 10)] == [4, 4, 7]
        assert "1 of 11 steps could not be judged (no idea)" in (log.chosen.fallback or "")

    async def test_where_nothing_can_be_judged_all_weigh_the_same(self) -> None:
        verifier, _ = judged_by(lambda text: None)
        engine = by_place({"": ["a", "b", "c", "d"]} | {f"{x}\n\n": ["<answer>1</answer>"] for x in "abcd"})
        log = await grow(FOUR, engine, verifier)
        assert [call.n for call in engine.calls] == [4, 1, 1, 1, 1]
        assert "no chain could be judged, so the majority decided" in (log.chosen.fallback or "")

    async def test_places_of_failed_steps_are_filled_again(self) -> None:
        replies = letters()
        replies[""] = ["a", Reply("oh", "error"), Reply("no", "error"), "d"]
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(replies), verifier)
        assert len([index for index, (parent, _) in tree_of(log.events).items() if parent in (0, 3)]) == 4

    async def test_a_search_all_of_whose_steps_fail_fails(self) -> None:
        verifier, _ = judged_by(last_letter)
        with pytest.raises(SearchFailed, match="All 4 samples failed: scripted failure"):
            await grow(FOUR, by_place({"": [Reply("oh", "error")]}), verifier)

    async def test_a_budget_ends_it_in_the_middle_of_a_step(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(letters()), verifier, limits=Limits(max_tokens_total=20))
        assert 20 <= log.completion_tokens <= 20 + FOUR.slots
        assert log.chosen.limit == "max_tokens_total"
        assert log.sample(log.chosen.choices[0].index).text.startswith("a\n\n"), "the most promising beginning"


@pytest.mark.parametrize(("name", "particles"), [("particles-16", 16), ("particles", 16), ("particle_filtering-3", 3)])
def test_short_names(name: str, particles: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, ParticleFiltering)
    assert (strategy.particles, strategy.slots, strategy.size) == (particles, particles, (particles,))


@pytest.mark.parametrize("config", [{"particles": 0}, {"softmax_temperature": 0}, {"width": 2}])
def test_options_out_of_range_are_named(config: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "particle_filtering", **config})
