"""REBASE: the shares, the exact tree, chains that go on ahead of a decision, and what must not happen."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply
from deliberate.search.budget import Limits
from deliberate.search.events import PROMPT, Cancelled, Completed, Expanded, Pruned, Scored
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.rebase import Rebase, allocate
from tests.search.growing import by_place, grow, judged_by, tree_of

FOUR = Rebase(width=4, speculate=False)
SCORES = {"a": 0.9, "b": 0.5, "c": 0.2, "d": 0.7, "e": 0.86, "1": 0.3, "2": 0.6}


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    return SCORES[text.replace("<answer>", "").replace("</answer>", "").split()[-1][-1]]


def letters() -> dict[str, list[Reply | str]]:
    return {
        "": ["a", "b", "c", "d"],
        "a\n\n": ["b", "<answer>2</answer>", "e"],
        "d\n\n": ["d"],
        "a\n\ne\n\n": ["<answer>1</answer>", "<answer>2</answer>"],
        "d\n\nd\n\n": ["<answer>2</answer>"],
    }


def stretched(slow: str) -> dict[str, list[Reply | str]]:
    """Those letters, where the steps that are slow are 30 letters long; all other chains answer 1."""

    def long(step: Reply | str) -> str:
        assert isinstance(step, str), "only plain texts are stretched"
        return step * 30 if step in slow else step

    replies: dict[str, list[Reply | str]] = defaultdict(lambda: ["<answer>1</answer>"])
    for chain, given_replies in letters().items():
        replies["".join(f"{long(step)}\n\n" for step in chain.split())] = [long(reply) for reply in given_replies]
    return replies


class TestAllocate:
    def test_it_is_the_papers_formula(self) -> None:
        # Scores 0.9, 0.7, 0.5, 0.2 at T = 0.2; of 8: ceil(8 * 1 / 1.533) = 6, then ceil(2 * 0.368 / 0.533) = 2.
        assert allocate([1.0, 0.368, 0.135, 0.030], 8) == [6, 2, 0, 0]
        assert allocate([0.030, 0.135, 0.368, 1.0], 16) == [0, 1, 4, 11]

    def test_equal_chains_share_alike_without_errors_of_rounding(self) -> None:
        for many in range(1, 60):
            for weight in (1.0, 0.1, 1 / 3):
                assert allocate([weight] * many, many) == [1] * many
                assert allocate([weight] * many, 3 * many) == [3] * many

    def test_the_first_of_equal_chains_get_what_is_left(self) -> None:
        assert allocate([1.0, 1.0, 1.0], 4) == [2, 1, 1]
        assert allocate([1.0, 1.0, 1.0], 2) == [1, 1, 0]

    @given(
        weights=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324]), max_size=40),
        width=st.integers(-3, 200),
    )
    def test_shares_add_up_and_follow_the_weights(self, weights: list[float], width: int) -> None:
        shares = allocate(weights, width)
        assert sum(shares) == (max(0, width) if any(weights) else 0)
        assert all(share >= 0 for share in shares)
        assert all(share == 0 for share, weight in zip(shares, weights, strict=True) if weight == 0)
        if any(shares):
            best = max(range(len(weights)), key=lambda i: weights[i])
            assert shares[best] >= width * weights[best] / sum(weights) - 1e-6, "rounded up"


@pytest.mark.asyncio
class TestSearch:
    async def test_the_exact_tree(self) -> None:
        engine = by_place(letters())
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, engine, verifier, Sampling(seed=5, temperature=0.9))
        assert tree_of(log.events) == {
            0: (PROMPT, "a"),
            1: (PROMPT, "b"),
            2: (PROMPT, "c"),
            3: (PROMPT, "d"),
            # Of 4: a gets ceil(4 * 1 / 1.533) = 3, d the rest.
            4: (0, "b"),
            5: (0, "<answer>2</answer>"),
            6: (0, "e"),
            7: (3, "d"),
            # One ended: of 3, e gets ceil(3 * 1 / 1.614) = 2, d the rest.
            8: (6, "<answer>1</answer>"),
            9: (6, "<answer>2</answer>"),
            10: (7, "<answer>2</answer>"),
        }
        assert sorted(e.index for e in log.events if isinstance(e, Pruned)) == [1, 2, 4]
        assert sorted(e.index for e in log.events if isinstance(e, Completed)) == [5, 8, 9, 10]
        assert log.completion_tokens == 7 * 3 + 4 * 19 == engine.stats.generated_tokens_total
        assert log.chosen.choices[0].weight == pytest.approx(1.8), "three chains of 0.6 vote for 2"
        assert (log.chosen.reason, log.chosen.fallback) == ("4 chains ended", None)
        assert [call.n for call in engine.calls] == [4, 3, 1, 2, 1]
        assert len({call.sampling.seed for call in engine.calls}) == 5, "each place draws with its own seed"

    async def test_a_low_temperature_follows_the_best_and_a_high_one_all(self) -> None:
        parents: list[list[int]] = []
        for temperature in (0.01, 100):
            verifier, _ = judged_by(last_letter)
            engine = by_place({"": ["a", "b", "c", "d"]} | {f"{x}\n\n": ["<answer>1</answer>"] for x in "abcd"})
            log = await grow(Rebase(width=4, softmax_temperature=temperature, speculate=False), engine, verifier)
            parents.append([tree_of(log.events)[index][0] for index in range(4, 8)])
        assert parents == [[0, 0, 0, 0], [0, 0, 1, 3]], "rounded up, so the best gets two"

    async def test_equal_chains_share_one_node(self) -> None:
        engine = by_place({"": ["a", "a", "d", "a"], "a\n\n": ["<answer>1</answer>"], "d\n\n": ["<answer>1</answer>"]})
        verifier, judge = judged_by(last_letter)
        log = await grow(FOUR, engine, verifier)
        assert [tree_of(log.events)[index][0] for index in range(4, 8)] == [0, 0, 0, 2]
        assert sum(asked.count("a\n\n") for asked in judge.asked) == 1, "judged once"

    async def test_likely_chains_go_on_while_siblings_run(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(Rebase(width=4), by_place(stretched("c")), verifier)
        slow = next(at for at, e in enumerate(log.events) if isinstance(e, Expanded) and e.index == 2)
        assert {e.parent for e in log.events[:slow] if isinstance(e, Expanded)} >= {PROMPT, 0}

    @pytest.mark.parametrize("slow", ["a", "b", "d", "bc", "ad", "e"])
    async def test_speculation_changes_no_answer(self, slow: str) -> None:
        ended: list[tuple[str, float, str]] = []
        for speculate in (True, False):
            verifier, _ = judged_by(last_letter)
            log = await grow(Rebase(width=4, speculate=speculate), by_place(stretched(slow)), verifier)
            (choice,) = log.chosen.choices
            ended.append((log.sample(choice.index).text, choice.weight, log.chosen.reason))
        assert ended[0] == ended[1]

    async def test_what_ended_ahead_of_a_decision_against_it_is_no_candidate(self) -> None:
        replies = stretched("abd") | {"c\n\n": ["<answer>7</answer>"]}
        verifier, _ = judged_by(lambda text: 1.0 if "7" in text else last_letter(text))
        log = await grow(Rebase(width=4, pick="score"), by_place(replies), verifier)
        assert "c\n\n<answer>7</answer>" in {e.sample.text for e in log.events if isinstance(e, Completed)}
        assert log.sample(log.chosen.choices[0].index).text.endswith("<answer>2</answer>")
        assert log.chosen.reason == "4 chains ended"

    async def test_what_runs_ahead_of_a_decision_against_it_stops(self) -> None:
        replies = stretched("abd") | {"c\n\n": [Reply("x" * 500)]}
        verifier, _ = judged_by(last_letter)
        log = await grow(Rebase(width=4), by_place(replies), verifier)
        (stopped,) = [e for e in log.events if isinstance(e, Cancelled)]
        assert stopped.parent == 2
        assert 0 < stopped.tokens < 500

    async def test_trap_length_stop_is_no_end(self) -> None:
        cut = Reply("a a a a a a a a a", "length")
        engine = by_place({"": [cut, "b"], "b\n\n": ["<answer>2</answer>"]})
        verifier, judge = judged_by(last_letter)
        log = await grow(Rebase(width=2), engine, verifier)
        assert [c.status for c in log.candidates] == ["truncated", "finished"]
        assert [c.text for c in judge.candidates if c.finished] == ["b\n\n<answer>2</answer>"]

    async def test_trap_truncated_chains_do_not_vote(self) -> None:
        cut = Reply("<answer>1</answer>", "length")
        verifier, _ = judged_by(lambda text: 0.9 if "1" in text else 0.1)
        log = await grow(Rebase(width=3), by_place({"": [cut, cut, "<answer>2</answer>"]}), verifier)
        assert log.sample(log.chosen.choices[0].index).text == "<answer>2</answer>"

    async def test_trap_a_trailing_separator_opens_no_step(self) -> None:
        engine = by_place({"": [Reply("<answer>2</answer>\n\n")], "<answer>2</answer>\n\n": [Reply("")]})
        verifier, _ = judged_by(last_letter)
        log = await grow(Rebase(width=2), engine, verifier)
        assert {c.sample.text for c in log.candidates if c.sample} == {"<answer>2</answer>\n\n"}
        assert log.chosen.choices[0].weight == pytest.approx(1.2), "the score of the step before the separator"

    async def test_what_cannot_be_judged_counts_as_the_chain_before_it(self) -> None:
        verifier, _ = judged_by(lambda text: None if text == "a\n\ne\n\n" else last_letter(text))
        log = await grow(FOUR, by_place(letters()), verifier)
        assert [tree_of(log.events)[index][0] for index in (8, 9, 10)] == [6, 6, 7], "with 0.9 of a"
        assert "1 of 11 steps could not be judged (no idea)" in (log.chosen.fallback or "")

    async def test_failed_steps_leave_their_width_to_others(self) -> None:
        replies = letters()
        replies[""] = ["a", Reply("oh", "error"), Reply("no", "error"), "d"]
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(replies), verifier)
        assert log.chosen.reason == "4 chains ended"

    async def test_a_search_all_of_whose_steps_fail_fails(self) -> None:
        verifier, _ = judged_by(last_letter)
        with pytest.raises(SearchFailed, match="All 4 samples failed: scripted failure"):
            await grow(FOUR, by_place({"": [Reply("oh", "error")]}), verifier)

    async def test_a_budget_ends_it_in_the_middle_of_a_step(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(letters()), verifier, limits=Limits(max_tokens_total=25))
        assert 25 <= log.completion_tokens <= 25 + FOUR.slots
        assert log.chosen.limit == "max_tokens_total"
        assert log.sample(log.chosen.choices[0].index).text.startswith("a\n\n"), "the most promising beginning"

    async def test_the_order_of_events(self) -> None:
        verifier, _ = judged_by(last_letter)
        log = await grow(FOUR, by_place(letters()), verifier)
        told = {(type(e), e.index): at for at, e in enumerate(log.events) if isinstance(e, Expanded | Scored | Pruned)}
        assert max(told[Scored, i] for i in range(4)) < told[Pruned, 1] < told[Expanded, 4]


@pytest.mark.parametrize(("name", "width"), [("rebase-16", 16), ("rebase", 16), ("rebase-3", 3)])
def test_short_names(name: str, width: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, Rebase)
    assert (strategy.width, strategy.slots, strategy.size) == (width, width, (width,))


@pytest.mark.parametrize("config", [{"width": 0}, {"softmax_temperature": 0}, {"expansions": 2}])
def test_options_out_of_range_are_named(config: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "rebase", **config})
