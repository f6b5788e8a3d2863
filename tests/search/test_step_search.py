"""What holds for every search over steps, whatever its strategy, the model's answers and the order they come in."""

import random
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.errors import SearchFailed
from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.budget import Limits
from deliberate.search.deliberation import Deliberation, prepare
from deliberate.search.events import Chosen, Event
from deliberate.search.log import Log
from deliberate.search.registry import STRATEGIES
from deliberate.search.stepwise import StepStrategy
from deliberate.search.strategy import Strategy
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.workers import WorkerPool

STEPWISE = sorted(kind for kind, strategy in STRATEGIES.items() if issubclass(strategy, StepStrategy))
WORKERS = WorkerPool()


class Whim(VerifierConfig, frozen=True):
    """Scores that depend on the text alone; some texts it cannot judge."""

    kind: Literal["whim"] = "whim"
    salt: int

    def build(self, resources: Resources) -> "WhimVerifier":
        return WhimVerifier(self.salt)


@dataclass
class WhimVerifier:
    salt: int
    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self._verdict(candidate.text) for candidate in candidates]

    def _verdict(self, text: str) -> Verdict:
        draw = random.Random(f"{self.salt}:{text}").random()
        return Verdict.undecided("no idea") if draw < 0.1 else Verdict(round(draw, 1))


def small(kind: str) -> Strategy:
    strategy = STRATEGIES[kind]
    return strategy.of_size((4, 2)[: len(strategy.size_fields)], None)


def whimsical(salt: int) -> ScriptedEngine:
    """Chains of a few short steps, some of which fail or are cut by length, at uneven speed."""

    def reply(prompt: str, number: int) -> Reply:
        rng = random.Random(f"{salt}:{number}")
        seconds = rng.choice((0.0, 0.0, 0.0005))
        if rng.random() < 0.05:
            return Reply("oh", "error", seconds_per_token=seconds)
        if prompt.count("\n\n") > rng.randrange(1, 4):
            return Reply(f"<answer>{rng.randrange(3)}</answer>", rng.choice(("stop", "stop", "length")), -0.1, seconds)
        return Reply("abc"[rng.randrange(3)] * rng.randrange(1, 6) + "\n\nnever said", "stop", -rng.random(), seconds)

    return ScriptedEngine(reply)


def ready(kind: str, engine: ScriptedEngine, salt: int, limits: Limits | None = None) -> Deliberation:
    return prepare(
        small(kind),
        Conversation(({"role": "user", "content": "?"},)),
        Sampling(seed=salt, max_tokens=120),
        Resources(WORKERS, {"policy": engine}, policy="policy"),
        default_verifier=Whim(salt=salt),
        limits=limits,
    )


async def first(deliberation: Deliberation, count: int) -> list[Event]:
    seen: list[Event] = []
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", STEPWISE)
@settings(max_examples=25, deadline=None)
@given(salt=st.integers(0, 10_000))
async def test_one_choice_ends_the_log_and_usage_is_its_sum(kind: str, salt: int) -> None:
    engine = whimsical(salt)
    log = Log()
    try:
        for event in await first(ready(kind, engine, salt), -1):
            log.add(event)
    except SearchFailed:
        assert engine.stats.running == 0
        return
    assert [isinstance(event, Chosen) for event in log.events] == [False] * (len(log.events) - 1) + [True]
    assert log.completion_tokens == sum(event.spent for event in log.events) == engine.stats.generated_tokens_total
    assert log.sample(log.chosen.choices[0].index).text
    assert engine.stats.running == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", STEPWISE)
@settings(max_examples=15, deadline=None)
@given(salt=st.integers(0, 10_000), tokens=st.integers(1, 150))
async def test_a_budget_is_overspent_by_one_token_of_each_running_sequence_at_most(
    kind: str, salt: int, tokens: int
) -> None:
    engine = whimsical(salt)
    log = Log()
    try:
        for event in await first(ready(kind, engine, salt, Limits(max_tokens_total=tokens)), -1):
            log.add(event)
    except SearchFailed:
        return
    assert log.completion_tokens <= tokens + small(kind).slots
    assert engine.stats.generated_tokens_total <= tokens + small(kind).slots
    assert (log.chosen.limit == "max_tokens_total") == (log.completion_tokens >= tokens)
    assert engine.stats.running == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", STEPWISE)
@settings(max_examples=15, deadline=None)
@given(salt=st.integers(0, 10_000), count=st.integers(1, 40))
async def test_a_search_that_is_left_leaves_nothing_running(kind: str, salt: int, count: int) -> None:
    engine = whimsical(salt)
    with suppress(SearchFailed):
        await first(ready(kind, engine, salt), count)
    assert engine.stats.running == 0
