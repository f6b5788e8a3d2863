"""Monte Carlo tree search: the exact tree, what simulations find, no barrier, and what must not happen."""

import random
from collections import Counter
from contextlib import aclosing
from math import log, sqrt

import pytest

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.protocol import Finish, Sample, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.events import PROMPT, Completed, Event, Expanded, Pruned, Scored, Visited
from deliberate.search.log import Log
from deliberate.search.nodes import Node
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.mcts import Mcts
from deliberate.search.visits import Branch, grown, puct, uct
from deliberate.verifiers.pattern import Pattern
from deliberate.verifiers.protocol import Judges
from tests.search.growing import by_place, deliberation, grow, judged_by, tree_of

pytestmark = pytest.mark.asyncio

SCORES = {"a": 0.9, "b": 0.5, "x": 0.1, "y": 0.8, "1": 0.3, "2": 0.6}
ALONE = Mcts(widening=0, simulations=2, expansions=2, in_flight=1)


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    return SCORES[text.replace("<answer>", "").replace("</answer>", "").split()[-1]]


def letters() -> dict[str, list[Reply | str]]:
    ends: list[Reply | str] = ["<answer>1</answer>", "<answer>2</answer>"]
    middles: list[Reply | str] = ["x", "y"]
    return {
        "": ["a", "b"],
        "a\n\n": middles,
        "b\n\n": middles,
        **{f"{first}\n\n{second}\n\n": ends for first in "ab" for second in "xy"},
    }


def visits(log: Log) -> dict[str, list[tuple[int, float]]]:
    """Visits and value of each step, as they were told, by the chain's letters."""
    tree = tree_of(log.events)
    told: dict[str, list[tuple[int, float]]] = {}
    for event in log.events:
        if isinstance(event, Visited):
            told.setdefault(chain(tree, event.index), []).append((event.visits, round(event.value, 6)))
    return told


def chain(tree: dict[int, tuple[int, str]], index: int) -> str:
    if index == PROMPT:
        return ""
    parent, text = tree[index]
    return chain(tree, parent) + text.replace("<answer>", "").replace("</answer>", "")


async def test_the_exact_tree() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(ALONE, engine, verifier)
    one, two = "<answer>1</answer>", "<answer>2</answer>"
    assert tree_of(log.events) == {
        0: (PROMPT, "a"),
        1: (PROMPT, "b"),
        2: (0, "x"),
        3: (0, "y"),
        4: (3, one),
        5: (3, two),
        6: (1, "x"),
        7: (1, "y"),
        8: (7, one),
        9: (7, two),
    }
    # The first way is a, y, 2. Then b: 0.5 + 1.25 / 2 against 0.6 + 1.25 / 4.
    assert visits(log) == {name: [(1, 0.6)] for name in ("a", "ay", "ay2", "b", "by", "by2")}
    assert log.completion_tokens == 6 * 3 + 4 * 19 == engine.stats.generated_tokens_total
    assert [call.n for call in engine.calls] == [2] * 5
    assert {call.sampling.stop for call in engine.calls} == {("\n\n",)}
    assert log.sample(log.chosen.choices[0].index).text.endswith(two)
    assert log.chosen.choices[0].weight == pytest.approx(1.2), "two chains of 0.6 vote for 2"
    assert log.chosen.reason.startswith("2 of 2 simulations ended")
    assert log.chosen.fallback is None


async def test_the_order_of_events() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(ALONE, by_place(letters()), verifier)
    at: dict[int, list[str]] = {}
    for event in log.events:
        if isinstance(event, Expanded | Completed | Scored | Visited):
            at.setdefault(event.index, []).append(type(event).__name__)
    assert at[2] == ["Expanded", "Scored"], "drawn, and not followed"
    assert at[3] == ["Expanded", "Scored", "Visited"]
    assert at[4] == ["Expanded", "Completed", "Scored"]
    assert at[5] == ["Expanded", "Completed", "Scored", "Visited"]
    told = [event.index for event in log.events if isinstance(event, Visited)]
    assert told == [0, 3, 5, 1, 7, 9], "first steps first, when a simulation has come back"


async def test_a_finished_chain_is_visited_once_and_costs_no_simulation() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(ALONE.model_copy(update={"simulations": 3}), engine, verifier)
    told = visits(log)
    assert told["ay1"] == told["by1"] == [(1, 0.3)], "the answers beside those that were followed"
    assert told["ay2"] == told["by2"] == [(1, 0.6)], "never again"
    assert told["ax"] == [(1, 0.6)], "all below y was visited: the third simulation takes x"
    assert told["a"] == [(1, 0.6), (2, 0.45), (3, 0.5)], "mean of what was found below"


async def test_a_tree_without_open_chains_ends_the_search() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(Mcts(widening=0, simulations=64, expansions=2), engine, verifier)
    assert len([e for e in log.events if isinstance(e, Completed)]) == 8, "all there are"
    assert len(engine.calls) == 7
    assert log.chosen.reason == "4 of 64 simulations ended, every chain was followed"
    counts = Counter(name for name, told in visits(log).items() for _ in told)
    assert counts["a"] == counts["b"] == 4, "each answer below was visited once"


async def test_the_tree_depends_on_the_seed_alone() -> None:
    trees: list[list[str]] = []
    for timing in range(4):
        verifier, _ = judged_by(lambda text: round(random.Random(text).random(), 2))
        log = await grow(Mcts(simulations=24, expansions=3, in_flight=6), uneven(timing), verifier, Sampling(seed=3))
        trees.append(sorted(chain(tree_of(log.events), e.index) for e in log.events if isinstance(e, Expanded)))
        assert log.chosen.reason == "24 of 24 simulations ended"
    assert all(tree == trees[0] for tree in trees)


def uneven(timing: int) -> ScriptedEngine:
    """Answers that depend on the place, at a speed that does not."""
    speed = random.Random(timing)
    drawn: Counter[str] = Counter()

    def script(prompt: str, number: int) -> Reply:
        place = prompt.partition("assistant: ")[2]
        drawn[place] += 1
        rng = random.Random(f"{place}:{drawn[place]}")
        seconds = speed.choice((0.0, 0.0002, 0.001)) if timing else 0.0
        if place.count("\n\n") >= rng.choice((3, 4, 5)):
            return Reply(f"<answer>{rng.randrange(3)}</answer>", "stop", -0.1, seconds)
        return Reply(rng.choice("abcdefgh") + "\n\n", "stop", -rng.random(), seconds)

    return ScriptedEngine(script)


async def test_simulations_do_not_wait_for_each_other() -> None:
    replies = letters()
    replies["a\n\n"] = ["x", Reply("y\n\n", seconds_per_token=0.02)]
    verifier, _ = judged_by(last_letter)
    log = await grow(Mcts(widening=0, simulations=2, expansions=2), by_place(replies), verifier)
    order = [chain(tree_of(log.events), e.index) for e in log.events if isinstance(e, Expanded)]
    assert order.index("by2") < order.index("ay"), "b was followed to its end while the first step after a still ran"


async def test_virtual_loss_parts_simulations_under_way() -> None:
    replies = letters()
    replies[""] = ["a", "y"]  # 0.9 and 0.8
    replies |= {"y\n\n": ["x", "y"], "y\n\nx\n\n": ["<answer>1</answer>"], "y\n\ny\n\n": ["<answer>1</answer>"]}
    verifier, _ = judged_by(last_letter)
    log = await grow(
        Mcts(widening=0, simulations=2, expansions=2, in_flight=2, exploration=0), by_place(replies), verifier
    )
    assert {"a", "y"} <= set(visits(log)), "one simulation on its way below a counts as a visit of value 0"


async def test_values_are_those_of_whole_answers() -> None:
    verifier, _ = judged_by(lambda text: 1.0 if text == "a\n\n" else last_letter(text))
    log = await grow(ALONE, by_place(letters()), verifier)
    assert visits(log)["a"][0] == (1, 0.6)


async def test_rollouts_are_judged_as_whole_answers_only() -> None:
    strategy = Mcts(widening=0, simulations=2, expansions=2, in_flight=1, value="rollout", rollouts=2)
    replies = letters()
    replies["a\n\n"] = ["x\n\n<answer>1</answer>", "y\n\n<answer>2</answer>"]
    replies["b\n\nx\n\n"] = ["<answer>2</answer>"]
    engine = by_place(replies)
    verifier, judge = judged_by(last_letter)
    log = await grow(strategy, engine, verifier)
    assert all(candidate.finished for candidate in judge.candidates)
    assert visits(log) == {"a": [(1, 0.45)], "b": [(1, 0.6)], "bx": [(1, 0.6)]}, "the mean of the two"
    assert [(call.n, call.sampling.stop) for call in engine.calls] == [(2, ("\n\n",)), (2, ())] * 2


async def test_a_verifier_of_whole_answers_is_enough_for_rollouts_only() -> None:
    engine = by_place({"": ["a"], "a\n\n": ["<answer>1</answer>"]})
    pattern = Pattern(pattern="1")
    assert Mcts(value="rollout").needs == Judges.OUTCOME
    log = await grow(Mcts(widening=0, simulations=1, expansions=1, value="rollout"), engine, pattern)
    assert log.chosen.choices[0].weight == 1.0
    with pytest.raises(InvalidRequest, match="needs a verifier that judges partial"):
        await grow(Mcts(), engine, pattern)


async def test_uct_follows_each_step_once_before_any_twice() -> None:
    verifier, _ = judged_by(lambda text: {"a\n\n": 0.9, "b\n\n": 0.0}.get(text, last_letter(text)))
    puct_log = await grow(ALONE.model_copy(update={"exploration": 0.0}), by_place(letters()), verifier)
    uct_log = await grow(ALONE.model_copy(update={"selection": "uct"}), by_place(letters()), verifier)
    assert "b" not in visits(puct_log)
    assert "b" in visits(uct_log)


def branch(value: float, visits: int, prior: float, parent: Branch) -> Branch:
    return Branch(node("x", -1.0, parent.node), parent, prior, visits=visits, total=value * visits)


def node(text: str, logprob: float, parent: Node | None) -> Node:
    sample = Sample(text, tuple(text.encode()), (logprob,) * len(text), Finish("stop"))
    return Node(0, parent, sample, 0, "live", 0)


async def test_the_formulas() -> None:
    root = Branch(node("", 0.0, None), visits=9)
    step = branch(0.4, 3, 0.25, root)
    assert puct(step, 1.25) == pytest.approx(0.4 + 0.25 * sqrt(9) / 4 * (log((9 + 19653) / 19652) + 1.25))
    assert uct(step, 1.4) == pytest.approx(0.4 + 1.4 * sqrt(log(9) / 3))
    assert uct(branch(0.0, 0, 0.5, root), 1.4) == float("inf")
    step.losses = 1
    assert step.value == pytest.approx(0.3), "a virtual loss"


async def test_priors_are_normalised_probabilities_of_different_steps() -> None:
    root = Branch(node("", 0.0, None))
    branches = grown(root, [node("ab", log(0.6), root.node), node("c", log(0.2), root.node), node("ab", -9, root.node)])
    assert [b.node.chain.text for b in branches] == ["ab", "c"]
    assert [b.prior for b in branches] == pytest.approx([0.75, 0.25])


async def test_equal_steps_are_one_step() -> None:
    replies = letters() | {"": ["a", "a", "b", "a"]}
    verifier, judge = judged_by(last_letter)
    log = await grow(Mcts(widening=0, simulations=8, expansions=4, in_flight=1), by_place(replies), verifier)
    assert [e.index for e in log.events if isinstance(e, Pruned)][:2] == [1, 3]
    extended = [
        tree_of(log.events)[e.parent][1] for e in log.events if isinstance(e, Expanded) and e.parent in range(4)
    ]
    assert sorted(set(extended)) == ["a", "b"]
    assert len(extended) == 8, "four after each"
    assert sum(asked.count("a\n\n") for asked in judge.asked) == 1


async def test_trap_the_answer_is_a_whole_chain_and_not_the_first_sample() -> None:
    replies: dict[str, list[Reply | str]] = {
        "": ["b", "a"],
        "a\n\n": ["<answer>2</answer>"],
        "b\n\n": ["<answer>1</answer>"],
    }
    verifier, _ = judged_by(last_letter)
    log = await grow(Mcts(widening=0, simulations=2, expansions=2), by_place(replies), verifier)
    assert log.sample(log.chosen.choices[0].index).text == "a\n\n<answer>2</answer>"
    assert log.sample(log.chosen.choices[0].index).finish.reason == "stop"


async def test_what_cannot_be_judged_is_worth_what_the_chain_before_it_is() -> None:
    verifier, _ = judged_by(lambda text: None if "answer" in text else last_letter(text))
    log = await grow(ALONE, by_place(letters()), verifier)
    assert visits(log)["a"][0] == (1, 0.8), "as y, not 0"
    assert "could not be judged (no idea)" in (log.chosen.fallback or "")


async def test_without_any_judgement_nothing_counts_as_0() -> None:
    verifier, _ = judged_by(lambda text: None)
    log = await grow(ALONE, by_place(letters()), verifier)
    assert visits(log) == {}
    assert "no chain could be judged, so the majority decided" in (log.chosen.fallback or "")


async def test_a_simulation_that_comes_to_nothing_is_done_without() -> None:
    replies = letters() | {"a\n\n": [Reply("oh", "error")]}
    verifier, _ = judged_by(last_letter)
    log = await grow(Mcts(widening=0, simulations=4, expansions=2, in_flight=1), by_place(replies), verifier)
    assert set(visits(log)) == {"b", "by", "by1", "by2", "bx", "bx1", "bx2"}
    assert log.chosen.reason == "3 of 4 simulations ended, every chain was followed"


async def test_a_search_all_of_whose_steps_fail_fails() -> None:
    verifier, _ = judged_by(last_letter)
    with pytest.raises(SearchFailed, match="All 2 samples failed: scripted failure"):
        await grow(ALONE, by_place({"": [Reply("oh", "error")]}), verifier)


async def test_a_budget_ends_it_with_the_best_answer_there_is() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(ALONE, by_place(letters()), verifier, limits=Limits(max_tokens_total=60))
    assert 60 <= log.completion_tokens <= 60 + ALONE.slots
    assert log.chosen.limit == "max_tokens_total"
    assert log.sample(log.chosen.choices[0].index).text == "a\n\ny\n\n<answer>2</answer>"


async def test_left_at_any_event_it_leaves_nothing_running() -> None:
    strategy = Mcts(widening=0, simulations=4, expansions=2, in_flight=3)
    whole = len((await grow(strategy, uneven(1), judged_by(lambda text: 0.5)[0])).events)
    for count in range(1, whole, 5):
        engine = uneven(1)
        seen: list[Event] = []
        async with aclosing(deliberation(strategy, engine, judged_by(lambda text: 0.5)[0]).events()) as events:
            async for event in events:
                seen.append(event)
                if len(seen) == count:
                    break
        assert engine.stats.running == 0


async def test_scores_come_before_the_step_is_followed() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(ALONE, by_place(letters()), verifier)
    scored = {e.index: i for i, e in enumerate(log.events) if isinstance(e, Scored)}
    for at, event in enumerate(log.events):
        if isinstance(event, Expanded) and event.parent != PROMPT:
            assert scored[event.parent] < at


@pytest.mark.parametrize(("name", "simulations"), [("mcts", 16), ("mcts-64", 64)])
async def test_short_names(name: str, simulations: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, Mcts)
    assert strategy.simulations == simulations


@pytest.mark.parametrize(
    "config",
    [
        {"simulations": 0},
        {"expansions": 0},
        {"in_flight": 0},
        {"rollouts": 0},
        {"exploration": -1},
        {"selection": "ucb"},
    ],
)
async def test_options_out_of_range_are_named(config: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "mcts", **config})


async def test_steps_are_drawn_again_where_it_is_visited_again() -> None:
    replies: dict[str, list[Reply | str]] = {
        "": ["b", "b", "a"],
        "a\n\n": ["<answer>2</answer>"],
        "b\n\n": ["<answer>1</answer>"],
    }
    verifier, _ = judged_by(last_letter)
    engine = by_place(replies)
    log = await grow(Mcts(simulations=2, expansions=2, in_flight=1, pick="score"), engine, verifier)
    assert [text for parent, text in tree_of(log.events).values() if parent == PROMPT] == ["b", "b", "a", "b"]
    assert log.sample(log.chosen.choices[0].index).text == "a\n\n<answer>2</answer>", "found by the second draw"
    assert log.chosen.reason.startswith("2 of 2 simulations ended")
