"""Beam search: the exact tree, no barrier, lookahead, and what must not happen."""

from collections import defaultdict

import pytest

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply
from deliberate.search.budget import Limits
from deliberate.search.events import (
    PROMPT,
    Cancelled,
    Completed,
    Expanded,
    LookedAhead,
    Pruned,
    Scored,
)
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.beam_search import BeamSearch
from tests.search.growing import by_place, grow, judged_by, tree_of

pytestmark = pytest.mark.asyncio

TWO_BY_TWO = BeamSearch(width=2, expansions=2, speculate=False)
SCORES = {"a": 0.9, "b": 0.5, "c": 0.2, "d": 0.7, "x": 0.1, "y": 0.8, "1": 0.3, "2": 0.6, "0": 0.05}


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    steps = text.replace("<answer>", "").replace("</answer>", "").split()
    return SCORES[steps[-1]]


def letters() -> dict[str, list[Reply | str]]:
    """Chains that are not here end at once."""
    chains: dict[str, list[Reply | str]] = {
        "": ["a", "b", "c", "d"],
        "a\n\n": ["x", "y"],
        "d\n\n": ["b", "c"],
        "a\n\ny\n\n": ["<answer>1</answer>", "<answer>2</answer>"],
        "d\n\nb\n\n": ["<answer>2</answer>", "<answer>1</answer>"],
    }
    return defaultdict(lambda: ["<answer>0</answer>"], chains)


async def test_the_exact_tree() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, engine, verifier)
    assert tree_of(log.events) == {
        0: (PROMPT, "a"),
        1: (PROMPT, "b"),
        2: (PROMPT, "c"),
        3: (PROMPT, "d"),
        4: (0, "x"),
        5: (0, "y"),
        6: (3, "b"),
        7: (3, "c"),
        8: (5, "<answer>1</answer>"),
        9: (5, "<answer>2</answer>"),
        10: (6, "<answer>2</answer>"),
        11: (6, "<answer>1</answer>"),
    }
    assert sorted(e.index for e in log.events if isinstance(e, Pruned)) == [1, 2, 4, 7]
    assert sorted(e.index for e in log.events if isinstance(e, Completed)) == [8, 9, 10, 11]
    # 8 steps of a letter and two newlines; 4 answers of 18 letters and the end of sequence.
    assert log.completion_tokens == 8 * 3 + 4 * 19 == engine.stats.generated_tokens_total
    assert log.sample(log.chosen.choices[0].index).text.endswith("<answer>2</answer>")
    assert log.chosen.choices[0].weight == pytest.approx(1.2), "two chains of 0.6 vote for 2"
    assert log.chosen.reason == "4 chains ended"
    assert log.chosen.fallback is None


async def test_the_order_of_events() -> None:
    verifier, judge = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place(letters()), verifier)
    told = [(type(event).__name__, getattr(event, "index", None)) for event in log.events[:12]]
    assert told[:2] == [("Expanded", 0), ("Scored", 0)]
    for index in range(12):
        at = {type(e): i for i, e in enumerate(log.events) if getattr(e, "index", None) == index}
        assert at[Expanded] < at[Scored]
    assert [len(asked) for asked in judge.asked[:1]] == [1]


async def test_children_are_asked_for_by_token_ids() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    await grow(TWO_BY_TWO, engine, verifier, Sampling(seed=5, temperature=0.9))
    prompts = [engine.tokenizer.decode(call.prompt_ids).partition("assistant: ")[2] for call in engine.calls]
    assert prompts == ["", "a\n\n", "d\n\n", "a\n\ny\n\n", "d\n\nb\n\n"]
    assert [call.n for call in engine.calls] == [4, 2, 2, 2, 2]
    assert {call.sampling.stop for call in engine.calls} == {("\n\n",)}
    assert len({call.sampling.seed for call in engine.calls}) == 5, "each place draws with its own seed"


async def test_survivors_are_extended_while_siblings_run() -> None:
    replies = letters()
    replies[""] = ["a", "d", "b", Reply("c\n\n", seconds_per_token=0.05)]
    verifier, _ = judged_by(last_letter)
    log = await grow(BeamSearch(width=2, expansions=2), by_place(replies), verifier)
    slow = next(i for i, e in enumerate(log.events) if isinstance(e, Expanded) and e.index == 3)
    grown = [e for e in log.events[:slow] if isinstance(e, Expanded) and e.parent in (0, 1)]
    assert grown, "a and d lead: they go on before c has ended"


async def test_speculation_changes_no_answer() -> None:
    replies = letters() | {"b\n\n": ["x", "y"]}
    replies[""] = ["b", "c", Reply("a\n\n", seconds_per_token=0.01), Reply("d\n\n", seconds_per_token=0.02)]
    chains: list[set[str]] = []
    tokens: list[int] = []
    for speculate in (True, False):
        verifier, _ = judged_by(last_letter)
        log = await grow(BeamSearch(width=2, expansions=2, speculate=speculate), by_place(replies), verifier)
        chains.append({e.sample.text for e in log.events if isinstance(e, Completed)})
        tokens.append(log.completion_tokens)
        assert log.sample(log.chosen.choices[0].index).text == "a\n\ny\n\n<answer>2</answer>"
    assert chains[0] == chains[1]
    assert tokens[0] > tokens[1], "b was extended in vain"


async def test_equal_texts_are_kept_once() -> None:
    replies = letters()
    replies[""] = ["a", "a", "d", "a"]
    verifier, judge = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place(replies), verifier)
    assert {
        tree_of(log.events)[e.parent][1] for e in log.events if isinstance(e, Expanded) and e.parent in range(4)
    } == {
        "a",
        "d",
    }
    assert sum(asked.count("a\n\n") for asked in judge.asked) == 1, "judged once"


async def test_where_the_model_is_sure_few_steps_are_drawn() -> None:
    engine = by_place({"": ["a"], "a\n\n": ["<answer>1</answer>"]})
    verifier, _ = judged_by(last_letter)
    await grow(TWO_BY_TWO, engine, verifier)
    assert [call.n for call in engine.calls] == [4, 2], "two of one chain, and not four"


async def test_trap_lookahead_text_is_scored() -> None:
    replies: dict[str, list[Reply | str]] = {
        "": ["a", "b"],
        "a\n\n": ["x"],
        "b\n\n": ["y"],
        "a\n\nx\n\n": ["<answer>1</answer>"],
        "b\n\ny\n\n": ["<answer>2</answer>"],
    }
    verifier, judge = judged_by(last_letter)
    log = await grow(BeamSearch(width=1, expansions=2, lookahead=1, speculate=False), by_place(replies), verifier)
    assert {"a\n\nx\n\n", "b\n\ny\n\n"} <= {text for asked in judge.asked for text in asked}
    assert "a\n\n" not in {text for asked in judge.asked for text in asked}, "the rollout's text is part of it"
    assert {e.index for e in log.events if isinstance(e, LookedAhead)} >= {0, 1}
    assert log.sample(log.chosen.choices[0].index).text == "b\n\ny\n\n<answer>2</answer>", "b leads to y"


async def test_lookahead_is_greedy() -> None:
    engine = by_place({"": ["a"], "a\n\n": ["x"], "a\n\nx\n\n": ["<answer>1</answer>"]})
    verifier, _ = judged_by(last_letter)
    await grow(BeamSearch(width=1, expansions=1, lookahead=1), engine, verifier, Sampling(temperature=1.0))
    assert 0.0 in {call.sampling.temperature for call in engine.calls}


async def test_trap_length_stop_is_no_end() -> None:
    replies: dict[str, list[Reply | str]] = {"": ["a"], "a\n\n": [Reply("b b b b b b b b", "length")]}
    verifier, judge = judged_by(lambda text: 0.5)
    log = await grow(BeamSearch(width=1, expansions=1), by_place(replies), verifier, Sampling(max_tokens=9))
    (candidate,) = log.candidates
    assert candidate.status == "truncated"
    assert not judge.candidates[-1].finished


async def test_a_stop_of_the_request_ends_the_answer_even_where_it_separates_steps() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place({"": ["a", "b", "c", "d"]}), verifier, Sampling(stop=("\n\n",)))
    assert [(c.status, c.sample.text) for c in log.candidates if c.sample] == [("finished", x) for x in "abcd"]


@pytest.mark.parametrize(("field", "value"), [("structured_output", {"json_object": True}), ("frequency_penalty", 0.5)])
async def test_what_holds_for_whole_answers_is_refused(field: str, value: object) -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    with pytest.raises(InvalidRequest, match="draws answers piece by piece"):
        await grow(TWO_BY_TWO, engine, verifier, Sampling.model_validate({field: value}))
    assert engine.calls == []


async def test_a_step_that_is_too_long_ends_and_its_chain_goes_on() -> None:
    replies: dict[str, list[Reply | str]] = {"": ["a" * 24], "a" * 20: ["<answer>1</answer>"]}
    verifier, _ = judged_by(lambda text: 0.5)
    log = await grow(BeamSearch(width=1, expansions=1, max_step_tokens=20), by_place(replies), verifier)
    assert tree_of(log.events)[0] == (PROMPT, "a" * 20)
    assert tree_of(log.events)[1][0] == 0


async def test_trap_truncated_chains_do_not_vote() -> None:
    replies: dict[str, list[Reply | str]] = {
        "": [Reply("<answer>1</answer>", "length"), Reply("<answer>1</answer>", "length"), "<answer>2</answer>"]
    }
    verifier, _ = judged_by(lambda text: 0.9 if "1" in text else 0.1)
    log = await grow(BeamSearch(width=1, expansions=3), by_place(replies), verifier)
    assert log.sample(log.chosen.choices[0].index).text == "<answer>2</answer>"


async def test_what_cannot_be_judged_ranks_by_the_chain_before_it() -> None:
    verifier, _ = judged_by(lambda text: None if text == "a\n\ny\n\n" else last_letter(text))
    log = await grow(TWO_BY_TWO, by_place(letters()), verifier)
    assert "a\n\ny\n\n<answer>2</answer>" in {c.sample.text for c in log.candidates if c.sample}
    assert "1 of 12 steps could not be judged (no idea)" in (log.chosen.fallback or "")


async def test_without_any_judgement_the_majority_decides() -> None:
    verifier, _ = judged_by(lambda text: None)
    log = await grow(BeamSearch(width=2, expansions=2), by_place({"": ["<answer>1</answer>"]}), verifier)
    assert "no chain could be judged, so the majority decided" in (log.chosen.fallback or "")


async def test_failed_steps_are_done_without() -> None:
    replies = letters()
    replies[""] = ["a", Reply("oh", "error"), Reply("no", "error"), "d"]
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place(replies), verifier)
    assert log.chosen.reason == "4 chains ended"


async def test_a_search_all_of_whose_steps_fail_fails() -> None:
    verifier, _ = judged_by(last_letter)
    with pytest.raises(SearchFailed, match="All 4 samples failed: scripted failure"):
        await grow(TWO_BY_TWO, by_place({"": [Reply("oh", "error")]}), verifier)


async def test_a_budget_ends_it_in_the_middle_of_a_step() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place(letters()), verifier, limits=Limits(max_tokens_total=40))
    assert 40 <= log.completion_tokens <= 40 + TWO_BY_TWO.slots
    assert log.chosen.limit == "max_tokens_total"
    assert log.chosen.reason.startswith("max_tokens_total = 40 was reached")
    answer = log.sample(log.chosen.choices[0].index)
    assert answer.finish.reason == "length"
    assert answer.text.startswith("a\n\ny\n\n"), "the most promising beginning"


async def test_the_best_ended_chain_is_the_answer_at_the_end_of_a_budget() -> None:
    replies: dict[str, list[Reply | str]] = {
        "": ["<answer>2</answer>", Reply("a\n\n"), Reply("b\n\n"), Reply("c\n\n")],
        "a\n\n": [Reply("x" * 500)],
        "b\n\n": [Reply("x" * 500)],
        "c\n\n": [Reply("x" * 500)],
    }
    verifier, _ = judged_by(lambda text: 0.4)
    log = await grow(TWO_BY_TWO, by_place(replies), verifier, limits=Limits(max_tokens_total=100))
    answer = log.sample(log.chosen.choices[0].index)
    assert (answer.text, answer.finish.reason) == ("<answer>2</answer>", "stop")
    assert sum(event.spent for event in log.events if isinstance(event, Cancelled | Expanded)) == log.completion_tokens


async def test_a_deadline_ends_it() -> None:
    replies: dict[str, list[Reply | str]] = {"": ["a"], "a\n\n": [Reply("x" * 500, seconds_per_token=0.01)]}
    verifier, _ = judged_by(lambda text: 0.4)
    log = await grow(BeamSearch(width=1, expansions=1), by_place(replies), verifier, limits=Limits(deadline_s=0.2))
    assert log.chosen.limit == "deadline_s"
    assert log.sample(log.chosen.choices[0].index).text.startswith("a\n\nx")


async def test_so_many_candidates_end_it() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(TWO_BY_TWO, by_place(letters()), verifier, limits=Limits(max_candidates=2))
    assert len([c for c in log.candidates if c.status == "finished"]) == 2
    assert log.chosen.limit == "max_candidates"


async def test_the_chain_before_it_is_handed_to_the_verifier() -> None:
    verifier, judge = judged_by(last_letter)
    await grow(TWO_BY_TWO, by_place(letters()), verifier)
    earlier = {candidate.text: candidate.earlier for candidate in judge.candidates}
    assert earlier["a\n\n"] is None
    verdict = earlier["a\n\ny\n\n"]
    assert verdict is not None
    assert verdict.score == SCORES["a"]


@pytest.mark.parametrize(
    ("name", "width", "expansions"), [("beam-4x4", 4, 4), ("beam-8", 8, 4), ("beam", 4, 4), ("beam_search-2x3", 2, 3)]
)
async def test_short_names(name: str, width: int, expansions: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, BeamSearch)
    assert (strategy.width, strategy.expansions) == (width, expansions)


@pytest.mark.parametrize(
    "config", [{"width": 0}, {"expansions": 0}, {"lookahead": 17}, {"lookahead": -1}, {"beams": 3}]
)
async def test_options_out_of_range_are_named(config: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "beam_search", **config})
