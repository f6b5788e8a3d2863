"""Tree of thoughts: breadth first it is beam search, depth first it follows the best and goes back."""

from collections.abc import Sequence

import pytest

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.events import PROMPT, Event, Expanded
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.search.strategies.tree_of_thoughts import TreeOfThoughts
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from tests.search.growing import by_place, grow, judged_by, tree_of

pytestmark = pytest.mark.asyncio

SCORES = {"a": 0.9, "b": 0.6, "x": 0.2, "y": 0.4, "z": 0.8, "1": 0.3, "2": 0.7}
DEEP = TreeOfThoughts(search="dfs", thoughts=2)


def last_letter(text: str) -> float | None:
    """Of the chain's last step."""
    return SCORES[text.replace("<answer>", "").replace("</answer>", "").split()[-1]]


def letters() -> dict[str, list[Reply | str]]:
    """What follows a is bad; below b there is an answer."""
    return {
        "": ["b", "a"],
        "a\n\n": ["x", "y"],
        "b\n\n": ["z", "y"],
        "b\n\nz\n\n": ["<answer>1</answer>", "<answer>2</answer>"],
        "b\n\ny\n\n": ["<answer>1</answer>"],
        "a\n\ny\n\n": ["<answer>1</answer>"],
        "a\n\nx\n\n": ["<answer>1</answer>"],
    }


def asked(engine: ScriptedEngine) -> list[str]:
    """The chains that were extended, in order."""
    return [engine.tokenizer.decode(call.prompt_ids).partition("assistant: ")[2] for call in engine.calls]


async def test_depth_first_the_exact_tree() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(DEEP, engine, verifier)
    assert asked(engine) == ["", "a\n\n", "b\n\n", "b\n\nz\n\n"], "back from a, where all is worth less than 0.5"
    assert tree_of(log.events) == {
        0: (PROMPT, "b"),
        1: (PROMPT, "a"),
        2: (1, "x"),
        3: (1, "y"),
        4: (0, "z"),
        5: (0, "y"),
        6: (4, "<answer>1</answer>"),
        7: (4, "<answer>2</answer>"),
    }
    assert log.completion_tokens == 6 * 3 + 2 * 19 == engine.stats.generated_tokens_total
    assert log.sample(log.chosen.choices[0].index).text == "b\n\nz\n\n<answer>2</answer>"
    assert log.chosen.reason == "an answer passed after 4 states"


async def test_what_was_given_up_comes_last_and_the_best_first() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(lambda text: 0.1 if "answer" in text else last_letter(text))
    log = await grow(DEEP, engine, verifier)
    assert asked(engine)[4:] == ["a\n\ny\n\n", "b\n\ny\n\n", "a\n\nx\n\n"], "of equals the earlier"
    assert log.chosen.reason == "no answer passed after 7 states"
    assert log.sample(log.chosen.choices[0].index).finish.reason == "stop", "the best of those that did not"


async def test_the_threshold_decides_what_is_given_up() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    await grow(DEEP.model_copy(update={"threshold": 0.35}), engine, verifier)
    assert asked(engine)[:3] == ["", "a\n\n", "a\n\ny\n\n"]


async def test_so_many_states_end_it() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(last_letter)
    log = await grow(DEEP.model_copy(update={"max_states": 2}), engine, verifier)
    assert len(engine.calls) == 2
    assert log.chosen.reason == "no answer passed after 2 states"
    assert log.sample(log.chosen.choices[0].index).finish.reason == "length", "no chain ended"


class Gate(VerifierConfig, frozen=True):
    """Grades chains, and accepts one answer that it grades low."""

    kind: str = "gate"

    def build(self, resources: Resources) -> "Gate":
        return self

    @property
    def judges(self) -> Judges:
        return Judges.PARTIAL

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [Verdict(last_letter(c.text), passed="1" in c.text if c.finished else None) for c in candidates]


async def test_an_answer_passes_where_the_verifier_accepts_it() -> None:
    log = await grow(DEEP, by_place({"": ["<answer>2</answer>"]}), Gate())
    assert log.chosen.reason == "no answer passed after 1 states"
    log = await grow(DEEP, by_place({"": ["<answer>1</answer>"]}), Gate())
    assert log.chosen.reason == "an answer passed after 1 states"


async def test_what_cannot_be_judged_ranks_by_the_chain_before_it_and_does_not_pass() -> None:
    engine = by_place(letters())
    verifier, _ = judged_by(lambda text: None if "answer" in text or text == "a\n\nx\n\n" else last_letter(text))
    log = await grow(DEEP, engine, verifier)
    assert asked(engine)[:3] == ["", "a\n\n", "a\n\nx\n\n"], "worth 0.9, as a"
    assert log.chosen.reason == "no answer passed after 7 states"
    assert "could not be judged (no idea)" in (log.chosen.fallback or "")


async def test_equal_thoughts_are_followed_once() -> None:
    engine = by_place(letters() | {"": ["a", "a"], "a\n\nx\n\n": ["<answer>1</answer>"]})
    verifier, _ = judged_by(last_letter)
    await grow(DEEP, engine, verifier)
    assert asked(engine) == ["", "a\n\n", "a\n\ny\n\n", "a\n\nx\n\n"]


async def test_a_truncated_answer_does_not_pass() -> None:
    verifier, _ = judged_by(lambda text: 0.9)
    log = await grow(DEEP, by_place({"": [Reply("<answer>2</answer>", "length")]}), verifier)
    assert log.chosen.reason == "no answer passed after 1 states"


async def test_failed_thoughts_are_done_without() -> None:
    verifier, _ = judged_by(last_letter)
    log = await grow(DEEP, by_place(letters() | {"a\n\n": [Reply("oh", "error")]}), verifier)
    assert log.sample(log.chosen.choices[0].index).text == "b\n\nz\n\n<answer>2</answer>"
    with pytest.raises(SearchFailed, match="All 2 samples failed: scripted failure"):
        await grow(DEEP, by_place({"": [Reply("oh", "error")]}), verifier)


async def test_a_budget_ends_it_in_the_middle_of_a_thought() -> None:
    verifier, _ = judged_by(last_letter)
    engine = by_place(letters())
    log = await grow(DEEP, engine, verifier, limits=Limits(max_tokens_total=15))
    assert 15 <= log.completion_tokens <= 15 + DEEP.slots
    assert log.chosen.limit == "max_tokens_total"
    assert len(engine.calls) == 3


async def test_breadth_first_is_beam_search() -> None:
    def told(events: list[Event]) -> list[tuple[str, str]]:
        return [(type(e).__name__, e.step.text if isinstance(e, Expanded) else "") for e in events]

    thoughts, beam = TreeOfThoughts(width=2, thoughts=2), BeamSearch(width=2, expansions=2, pick="score")
    logs = [await grow(strategy, by_place(letters()), judged_by(last_letter)[0]) for strategy in (thoughts, beam)]
    assert told(logs[0].events) == told(logs[1].events)
    assert logs[0].chosen == logs[1].chosen
    assert thoughts.slots == beam.slots == 4
    assert DEEP.slots == 2


@pytest.mark.parametrize(
    ("name", "width", "thoughts"), [("tot-4x3", 4, 3), ("tot-8", 8, 4), ("tree_of_thoughts-2x2", 2, 2), ("tot", 4, 4)]
)
async def test_short_names(name: str, width: int, thoughts: int) -> None:
    strategy = parse_strategy(name)
    assert isinstance(strategy, TreeOfThoughts)
    assert (strategy.width, strategy.thoughts) == (width, thoughts)


@pytest.mark.parametrize(
    "config", [{"width": 0}, {"thoughts": 0}, {"threshold": 1.5}, {"max_states": 0}, {"search": "best"}]
)
async def test_options_out_of_range_are_named(config: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(config))):
        parse_strategy({"kind": "tree_of_thoughts", **config})
