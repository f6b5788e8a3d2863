"""DVTS: the exact tree, subtrees that neither compete nor wait, and what must not happen."""

import pytest

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply
from deliberate.search.budget import Limits
from deliberate.search.events import PROMPT, Completed, Expanded, Pruned, Scored
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.dvts import DiverseVerifierTreeSearch
from tests.search.growing import by_place, grow, judged_by, tree_of

pytestmark = pytest.mark.asyncio

TWO_PAIRS = DiverseVerifierTreeSearch(width=4, expansions=2)
ONE_PAIR = DiverseVerifierTreeSearch(width=2, expansions=2)
SCORES = {"a": 0.9, "b": 0.5, "c": 0.2, "d": 0.7, "1": 0.3, "2": 0.6}


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    return SCORES[text.replace("<answer>", "").replace("</answer>", "").split()[-1][-1]]


def letters() -> dict[str, list[Reply | str]]:
    return {
        "": ["a", "d", "b", "c"],
        "a\n\n": ["b", "d"],
        "b\n\n": ["a", "c"],
        "a\n\nd\n\n": ["<answer>1</answer>", "<answer>2</answer>"],
        "b\n\na\n\n": ["<answer>2</answer>", "<answer>1</answer>"],
    }


async def test_the_exact_tree() -> None:
    engine = by_place(letters())
    verifier, judge = judged_by(last_letter)
    log = await grow(TWO_PAIRS, engine, verifier, Sampling(seed=5, temperature=0.9))
    assert tree_of(log.events) == {
        0: (PROMPT, "a"),
        1: (PROMPT, "d"),
        2: (PROMPT, "b"),
        3: (PROMPT, "c"),
        4: (0, "b"),
        5: (0, "d"),
        6: (2, "a"),
        7: (2, "c"),
        8: (5, "<answer>1</answer>"),
        9: (5, "<answer>2</answer>"),
        10: (6, "<answer>2</answer>"),
        11: (6, "<answer>1</answer>"),
    }, "b goes on in its subtree, though d is better in the other"
    assert sorted(e.index for e in log.events if isinstance(e, Pruned)) == [1, 3, 4, 7]
    assert sorted(e.index for e in log.events if isinstance(e, Completed)) == [8, 9, 10, 11]
    # 8 steps of a letter and two newlines; 4 answers of 18 letters and the end of sequence.
    assert log.completion_tokens == 8 * 3 + 4 * 19 == engine.stats.generated_tokens_total
    assert log.sample(log.chosen.choices[0].index).text.endswith("<answer>2</answer>")
    assert log.chosen.choices[0].weight == pytest.approx(1.2), "two chains of 0.6 vote for 2"
    assert (log.chosen.reason, log.chosen.fallback) == ("4 chains ended", None)
    assert [call.n for call in engine.calls] == [4, 2, 2, 2, 2], "the subtrees share the pass over the prompt"
    assert len({call.sampling.seed for call in engine.calls}) == 5, "each place draws with its own seed"
    assert sum(map(len, judge.asked)) == 12, "each chain is judged once"


async def test_a_subtree_goes_on_as_soon_as_its_own_steps_are_judged() -> None:
    replies = letters()
    replies[""] = ["a", "d", "b", "c" * 300]
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_PAIRS, by_place(replies), verifier)
    told = {(type(e), e.index): at for at, e in enumerate(log.events) if isinstance(e, Expanded | Scored)}
    assert told[Scored, 7] < told[Expanded, 3], "one subtree was over before the other took its first step"


async def test_speed_changes_no_answer() -> None:
    chains: list[list[str]] = []
    for slow in ("a", "b", ""):
        replies = letters()
        for first in "ab":
            replies[f"{first}\n\n"] = [
                Reply(f"{reply}\n\n", seconds_per_token=0.005 * (first == slow)) for reply in replies[f"{first}\n\n"]
            ]
        verifier, _ = judged_by(last_letter)
        log = await grow(TWO_PAIRS, by_place(replies), verifier)
        chains.append(sorted(e.sample.text for e in log.events if isinstance(e, Completed)))
    assert chains[0] == chains[1] == chains[2]


async def test_subtrees_that_take_the_same_step_are_not_merged() -> None:
    engine = by_place({"": ["a", "b"], "a\n\n": ["<answer>1</answer>", "<answer>2</answer>"]})
    verifier, judge = judged_by(last_letter)
    log = await grow(TWO_PAIRS, engine, verifier)
    assert [parent for parent, text in tree_of(log.events).values() if "answer" in text] == [0, 0, 2, 2]
    assert len({call.sampling.seed for call in engine.calls}) == 3
    assert sum(asked.count("a\n\n") for asked in judge.asked) == 1, "judged once"


async def test_of_equal_steps_in_a_subtree_one_goes_on() -> None:
    engine = by_place({"": ["a"], "a\n\n": ["<answer>1</answer>"]})
    verifier, _ = judged_by(last_letter)
    log = await grow(ONE_PAIR, engine, verifier)
    assert [call.n for call in engine.calls] == [2, 2]
    assert [e.index for e in log.events if isinstance(e, Pruned)] == [1]


async def test_a_subtree_is_over_when_its_best_step_ended() -> None:
    engine = by_place({"": ["<answer>2</answer>", "b"]})
    verifier, _ = judged_by(last_letter)
    log = await grow(ONE_PAIR, engine, verifier)
    assert len(engine.calls) == 1
    assert [(e.index, e.reason) for e in log.events if isinstance(e, Pruned)] == [
        (1, "not the best of its subtree at depth 1")
    ]


async def test_a_worse_step_that_ended_is_a_candidate_and_the_subtree_goes_on() -> None:
    verifier, _ = judged_by(last_letter)
    engine = by_place({"": ["<answer>2</answer>", "d"], "d\n\n": ["<answer>1</answer>"]})
    log = await grow(ONE_PAIR, engine, verifier)
    assert len(engine.calls) == 2
    assert log.chosen.reason == "3 chains ended"


async def test_trap_length_stop_is_no_end() -> None:
    cut = Reply("a a a a a a a a a", "length")
    engine = by_place({"": [cut, "b"], "b\n\n": ["<answer>2</answer>", "<answer>1</answer>"]})
    verifier, judge = judged_by(last_letter)
    log = await grow(ONE_PAIR, engine, verifier)
    assert [c.status for c in log.candidates] == ["truncated", "finished", "finished"], "b goes on, a cannot"
    assert [c.text for c in judge.candidates if c.finished] == ["b\n\n<answer>2</answer>", "b\n\n<answer>1</answer>"]


async def test_trap_truncated_chains_do_not_vote() -> None:
    cut = Reply("<answer>1</answer>", "length")
    verifier, _ = judged_by(lambda text: 0.9 if "1" in text else 0.1)
    log = await grow(TWO_PAIRS, by_place({"": [cut, cut, cut, "<answer>2</answer>"]}), verifier)
    assert log.sample(log.chosen.choices[0].index).text == "<answer>2</answer>"


async def test_trap_a_trailing_separator_opens_no_step() -> None:
    engine = by_place(
        {"": ["<answer>1</answer>", Reply("<answer>2</answer>\n\n")], "<answer>2</answer>\n\n": [Reply("")]}
    )
    verifier, _ = judged_by(last_letter)
    log = await grow(ONE_PAIR, engine, verifier)
    assert [c.sample.text for c in log.candidates if c.sample] == ["<answer>1</answer>"] + [
        "<answer>2</answer>\n\n"
    ] * 2
    assert log.chosen.choices[0].weight == pytest.approx(1.2), "the score of the step before the separator"


async def test_what_cannot_be_judged_ranks_by_the_chain_before_it() -> None:
    verifier, _ = judged_by(lambda text: None if text == "a\n\nd\n\n" else last_letter(text))
    log = await grow(TWO_PAIRS, by_place(letters()), verifier)
    assert "a\n\nd\n\n<answer>2</answer>" in {c.sample.text for c in log.candidates if c.sample}
    assert "1 of 12 steps could not be judged (no idea)" in (log.chosen.fallback or "")


async def test_a_subtree_whose_steps_all_fail_ends_alone() -> None:
    replies = letters()
    replies[""] = ["a", Reply("oh", "error"), Reply("no", "error"), Reply("no", "error")]
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_PAIRS, by_place(replies), verifier)
    assert log.chosen.reason == "2 chains ended"
    assert log.sample(log.chosen.choices[0].index).text == "a\n\nd\n\n<answer>2</answer>"


async def test_a_search_all_of_whose_steps_fail_fails() -> None:
    verifier, _ = judged_by(last_letter)
    with pytest.raises(SearchFailed, match="All 4 samples failed: scripted failure"):
        await grow(TWO_PAIRS, by_place({"": [Reply("oh", "error")]}), verifier)


async def test_a_budget_ends_it_in_the_middle_of_a_step() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_PAIRS, by_place(letters()), verifier, limits=Limits(max_tokens_total=40))
    assert 40 <= log.completion_tokens <= 40 + TWO_PAIRS.slots
    assert log.chosen.limit == "max_tokens_total"
    assert log.sample(log.chosen.choices[0].index).finish.reason == "length"


@pytest.mark.parametrize(
    ("name", "width", "expansions"), [("dvts-16x4", 16, 4), ("dvts-8", 8, 4), ("dvts", 16, 4), ("dvts-6x3", 6, 3)]
)
async def test_short_names(name: str, width: int, expansions: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, DiverseVerifierTreeSearch)
    assert (strategy.width, strategy.expansions, strategy.slots) == (width, expansions, width)


@pytest.mark.parametrize(("width", "expansions", "fitting"), [(5, 4, 4), (2, 4, 4), (11, 3, 9)])
async def test_a_width_that_does_not_divide_is_refused_with_one_that_does(
    width: int, expansions: int, fitting: int
) -> None:
    message = f"width = {width} .* expansions = {expansions}.* width = {fitting}"
    with pytest.raises(InvalidRequest, match=message):
        parse_strategy(f"dvts-{width}x{expansions}")


@pytest.mark.parametrize("config", [{"width": 0}, {"expansions": 0}, {"lookahead": 1}])
async def test_options_out_of_range_are_named(config: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "dvts", **config})
