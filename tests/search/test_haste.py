"""Searches that do not wait: which answers they come to depends on what was drawn, not on what came first."""

import random
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.protocol import Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.log import Log
from deliberate.search.registry import parse_strategy
from tests.search.growing import deliberation, judged_by


def hurried(salt: int, timing: int) -> ScriptedEngine:
    """What it says after a chain depends on how often it was asked there; how fast is a matter of `timing`."""
    asked: dict[str, int] = {}

    def script(prompt: str, number: int) -> Reply:
        chain = prompt.partition("assistant: ")[2]
        turn = asked[chain] = asked.get(chain, -1) + 1
        drawn = random.Random(f"{salt}:{chain}:{turn}")
        seconds = random.Random(f"{timing}:{chain}:{turn}").choice((0.0, 0.0, 0.0, 0.0003))
        if drawn.random() < 0.05:
            return Reply("oh", "error", seconds_per_token=seconds)
        if chain.count("\n\n") > drawn.randrange(1, 4):
            return Reply(f"<answer>{drawn.randrange(4)}</answer>", "stop", -drawn.random(), seconds)
        return Reply("abc"[drawn.randrange(3)] * drawn.choice((1, 1, 9)) + "\n\n", "stop", -0.1, seconds)

    return ScriptedEngine(script)


async def outcome(config: dict[str, object], salt: int, timing: int) -> tuple[object, ...]:
    """The answer, its weight, and among how many chains it was chosen."""
    verifier, _ = judged_by(lambda text: round(random.Random(f"{salt}:{text}").random(), 1))
    search = deliberation(parse_strategy(dict(config)), hurried(salt, timing), verifier, Sampling(seed=salt))
    log = Log()
    async with aclosing(search.events()) as events:
        async for event in events:
            log.add(event)
    (choice,) = log.chosen.choices
    return (log.sample(choice.index).text, round(choice.weight, 9), log.chosen.reason)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "config",
    [
        {"kind": "beam_search", "width": 3, "expansions": 2},
        {"kind": "rebase", "width": 6},
        {"kind": "particle_filtering", "particles": 6, "pick": "weighted_vote"},
        {"kind": "dvts", "width": 6, "expansions": 3},
    ],
    ids=lambda config: str(config["kind"]),
)
@settings(max_examples=25, deadline=None)
@given(salt=st.integers(0, 10_000), timing=st.integers(0, 10_000))
async def test_speed_and_speculation_change_no_answer(config: dict[str, object], salt: int, timing: int) -> None:
    patient = config if config["kind"] == "dvts" else config | {"speculate": False}
    expected = await outcome(patient, salt, timing=0)
    assert await outcome(config, salt, timing) == expected
    assert await outcome(config, salt, timing + 1) == expected
