"""Events as JSON and back: the same events, whatever they hold."""

import json
import math

import pytest

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Delta, Finish, Sample
from deliberate.search import events as module
from deliberate.search.events import (
    PROMPT,
    Asked,
    Cancelled,
    Choice,
    Chosen,
    Completed,
    Event,
    Expanded,
    Failed,
    LookedAhead,
    Prompted,
    Pruned,
    Retraced,
    Sampled,
    Scored,
    Streamed,
    Visited,
)
from deliberate.search.trace import KINDS, read_event, read_events, without_evidence, write_event
from deliberate.verifiers.protocol import Verdict

SAMPLE = Sample(
    "hé\n\n",
    (104, 195, 169, 10, 10),
    (-0.1, -math.inf, 0.0, -1e-300, -0.30000000000000004),
    Finish("stop", matched="\n\n", prompt_tokens=7),
    top_logprobs=(((104, -0.1), (105, -math.inf)), (), (), (), ()),
    unseen_tokens=3,
)
PLAIN = Sample("", (), (), Finish("length", matched=10))

EVENTS: list[Event] = [
    Asked(0, SAMPLE),
    Prompted(12),
    Streamed(0, Delta(0, "h", (104,), (-0.1,), (((104, -0.1),),), Finish("error", detail="lost"), -2, restart=True)),
    Streamed(1, Delta(1)),
    Sampled(0, SAMPLE),
    Sampled(1, PLAIN, (0,)),
    Expanded(0, PROMPT, SAMPLE),
    Expanded(1, 0, PLAIN, "rephrase"),
    LookedAhead(1, PLAIN),
    Retraced(1, PLAIN, None),
    Completed(1, SAMPLE),
    Pruned(0, "not among the best"),
    Visited(0, 8, 0.625),
    Cancelled(2, 5),
    Cancelled(3, 5, PROMPT),
    Failed(4, 0, "lost"),
    Failed(5, 1, "lost", 0),
    Scored(0, Verdict(0.5, True, (0.25, 0.5), "fine", "ok", (-0.1, -math.inf))),
    Scored(1, Verdict.undecided("too slow", "timeout")),
    Chosen((Choice(1, 0.75), Choice(0, 0.25)), "enough", "a fallback", "deadline_s"),
    Chosen((), "nothing"),
]


def test_every_event_comes_back_as_it_was() -> None:
    entries = [write_event(event, number / 8) for number, event in enumerate(EVENTS)]
    sent = json.loads(json.dumps(entries, allow_nan=False))
    assert [read_event(entry) for entry in sent] == [(event, number / 8) for number, event in enumerate(EVENTS)]
    assert read_events(sent) == EVENTS


def test_every_kind_of_event_is_known_and_tested() -> None:
    defined = {value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Event)}
    assert set(KINDS.values()) == defined - {Event} == set(map(type, EVENTS))
    assert KINDS["looked_ahead"] is LookedAhead


def test_defaults_are_left_out() -> None:
    assert write_event(Cancelled(2, 5), 0.5) == {"at": 0.5, "kind": "cancelled", "index": 2, "tokens": 5}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"at": 0, "kind": "expandet", "index": 0}, ["Unknown event 'expandet'", "known: asked", "'expanded'"]),
        ({"at": 0, "index": 0}, ["Unknown event 'None'"]),
        ({"kind": "prompted", "tokens": 3}, ["'at'", "None"]),
        ({"at": 0, "kind": "prompted"}, ["'prompted'", "tokens"]),
        ({"at": 0, "kind": "prompted", "tokens": 3, "words": 2}, ["'prompted'", "words"]),
        ({"at": 0, "kind": "cancelled", "index": "first", "tokens": 3}, ["'cancelled'", "index", "'first'"]),
    ],
)
def test_what_is_no_event_is_refused(entry: dict[str, object], expected: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_event(entry)
    assert isinstance(refused.value, UnknownName) == ("Unknown" in expected[0])
    for part in expected:
        assert part in str(refused.value)


def test_evidence_can_be_left_out() -> None:
    scored = Scored(0, Verdict(0.5, steps=(0.5,), evidence=(-0.1,)))
    assert without_evidence(scored) == Scored(0, Verdict(0.5, steps=(0.5,)))
    assert without_evidence(EVENTS[4]) is EVENTS[4]
