"""Best-of-N that ends with the first candidate that passes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from deliberate.engines.errors import EngineStopped
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.events import Cancelled, Sampled, Scored
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

from .searching import chosen_texts, first_events, search

GOOD, BAD = "good", "bad"


@dataclass
class Gate:
    """Passes what begins with `good`, after a while."""

    seconds: float = 0
    asked: list[list[str]] = field(default_factory=list[list[str]])
    judges: Judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        self.asked.append([candidate.text for candidate in candidates])
        await asyncio.sleep(self.seconds)
        return [Verdict.decided(candidate.text.startswith(GOOD)) for candidate in candidates]


def gate(seconds: float = 0, suffices: bool = True) -> tuple[VerifierConfig, Gate]:
    verifier = Gate(seconds)

    class GateConfig(VerifierConfig, frozen=True):
        one_pass_suffices: ClassVar[bool] = suffices
        kind: str = "gate"

        def build(self, resources: Resources) -> Gate:
            return verifier

    return GateConfig(), verifier


LONG = Reply("x" * 400, seconds_per_token=0.001)


async def test_the_first_that_passes_ends_the_search_and_the_rest_is_cancelled() -> None:
    config, verifier = gate()
    engine = ScriptedEngine([BAD, GOOD, LONG, LONG])
    log = await search(BestOfN(n=4), engine, verifier=config)
    assert chosen_texts(log) == [GOOD]
    assert [call.n for call in engine.calls] == [4]
    assert verifier.asked == [[BAD], [GOOD]]
    cancelled = [event for event in log.events if isinstance(event, Cancelled)]
    assert [event.index for event in cancelled] == [2, 3]
    assert all(0 < event.tokens < 400 for event in cancelled)
    assert log.completion_tokens == len(BAD) + len(GOOD) + 2 + sum(event.tokens for event in cancelled)
    assert engine.stats.running == 0
    assert log.chosen.reason == "stopped after 2 of 4 samples: enough passed"
    assert log.chosen.fallback is None


async def test_where_none_passes_all_are_drawn_and_judged_once() -> None:
    config, verifier = gate()
    log = await search(BestOfN(n=4), ScriptedEngine([BAD, "worse", BAD, "worst"]), verifier=config)
    assert len(log.candidates) == 4
    assert sorted(text for batch in verifier.asked for text in batch) == [BAD, "worse", "worst"]
    assert sum(isinstance(event, Scored) for event in log.events) == 4
    assert log.chosen.reason == "all 4 samples ended"


async def test_what_ends_while_another_is_judged_is_judged_next_and_in_one_batch() -> None:
    config, verifier = gate(seconds=0.1)
    replies = [Reply(f"{BAD}{i}", seconds_per_token=0.001) for i in range(4)]
    await search(BestOfN(n=4), ScriptedEngine(replies), verifier=config)
    assert verifier.asked[0] == ["bad0"]
    assert sorted(verifier.asked[1]) == ["bad1", "bad2", "bad3"]


async def test_what_ended_while_the_pass_was_judged_is_in_the_log_and_the_usage() -> None:
    config, _ = gate(seconds=0.1)
    engine = ScriptedEngine([GOOD, "later", LONG])
    log = await search(BestOfN(n=3), engine, verifier=config)
    assert chosen_texts(log) == [GOOD]
    assert [event.sample.text for event in log.events if isinstance(event, Sampled)] == [GOOD, "later"]
    assert log.completion_tokens == engine.stats.generated_tokens_total
    assert log.chosen.reason == "stopped after 2 of 3 samples: enough passed"


async def test_as_many_different_answers_must_pass_as_the_request_has_choices() -> None:
    config, _ = gate()
    engine = ScriptedEngine(["good 1", "good 1", "good 2", LONG])
    log = await search(BestOfN(n=4), engine, verifier=config, choices=2)
    assert chosen_texts(log) == ["good 1", "good 2"]
    assert [event.index for event in log.events if isinstance(event, Cancelled)] == [3]


async def test_a_candidate_cut_by_length_ends_nothing_unless_none_ended() -> None:
    config, verifier = gate()
    cut = Reply(GOOD, finish="length")
    log = await search(BestOfN(n=2), ScriptedEngine([cut, BAD]), verifier=config)
    assert chosen_texts(log) == [BAD]
    assert verifier.asked == [[BAD]]
    config, verifier = gate()
    log = await search(BestOfN(n=2), ScriptedEngine([cut, cut]), verifier=config)
    assert chosen_texts(log) == [GOOD]


@pytest.mark.parametrize(
    ("option", "suffices", "drawn"), [(None, True, 1), (None, False, 3), (True, False, 1), (False, True, 3)]
)
async def test_the_option_decides_and_without_it_the_verifier(option: bool | None, suffices: bool, drawn: int) -> None:
    config, _ = gate(suffices=suffices)
    log = await search(BestOfN(n=3, stop_at_pass=option), ScriptedEngine([GOOD, GOOD + "!", LONG]), verifier=config)
    assert sum(record.status == "finished" for record in log.candidates) >= drawn
    assert (len([e for e in log.events if isinstance(e, Cancelled)]) > 0) is (drawn == 1)
    assert chosen_texts(log)[0].startswith(GOOD)


async def test_a_failed_sample_is_no_end() -> None:
    config, _ = gate()
    log = await search(BestOfN(n=3), ScriptedEngine([Reply("x", finish="error"), BAD, GOOD]), verifier=config)
    assert chosen_texts(log) == [GOOD]


async def test_a_dying_engine_is_an_error() -> None:
    config, _ = gate()
    engine = ScriptedEngine([BAD, LONG])
    task = asyncio.create_task(search(BestOfN(n=2), engine, verifier=config))
    while engine.stats.running == 0:
        await asyncio.sleep(0)
    engine.fail(RuntimeError("device lost"))
    with pytest.raises(EngineStopped, match="device lost"):
        await task


@pytest.mark.parametrize("stop_after", [1, 2, 3])
async def test_closing_it_at_any_event_stops_engine_and_verifier(stop_after: int) -> None:
    config, _ = gate()
    engine = ScriptedEngine([BAD, GOOD, LONG])
    await first_events(BestOfN(n=3), engine, stop_after, verifier=config)
    assert engine.stats.running == 0
