"""What a stream says while a tree grows."""

from deliberate.engines.protocol import Finish, Sample
from deliberate.search.events import PROMPT, Cancelled, Choice, Chosen, Completed, Event, Expanded, Pruned, Scored
from deliberate.search.log import Log
from deliberate.server.step_progress import StepProgress
from deliberate.verifiers.protocol import Verdict

STEP = Sample("1 + 1 = 2", (1, 2), (-0.1, -0.1), Finish("stop", "\n\n"))
CHAIN = Sample("<answer>2</answer>", (1, 2), (-0.1, -0.1), Finish("stop"))

EVENTS: list[Event] = [
    Expanded(0, PROMPT, STEP),
    Expanded(1, PROMPT, STEP),
    Scored(0, Verdict(0.25)),
    Scored(1, Verdict(0.5)),
    Pruned(0, "not among the best"),
    Expanded(2, 1, STEP),
    Cancelled(3, 7, 1),
    Scored(2, Verdict.undecided("too slow", "timeout")),
    Completed(2, CHAIN),
    Scored(2, Verdict(0.75)),
    Chosen((Choice(2, 0.75),), "1 chain ended"),
]

LINES = [
    "Depth 1: 1 step",
    "Depth 1: 2 steps",
    "Depth 1: 2 steps, best 0.25",
    "Depth 1: 2 steps, best 0.5",
    "Depth 2: 1 step",
    "Depth 2: 1 step",
    "1 chain ended: 2 (1 vote)",
    "Depth 2: 1 step, best 0.75",
    "Chose 2 (candidate 2): 1 chain ended",
]


def told(seconds_apart: float) -> list[str]:
    """The lines where half a second must pass between two, and so much does between two events."""
    now = 0.0
    log = Log()
    progress = StepProgress(log, 4, "calculator", 0.5, lambda: now)
    lines: list[str] = []
    for event in EVENTS:
        now += seconds_apart
        log.add(event)
        lines += progress.lines(event)
    assert all(line.endswith("\n") for line in lines)
    return [line.strip() for line in lines]


def test_depth_scores_and_ended_chains_are_told() -> None:
    assert told(1.0) == LINES


def test_lines_keep_their_distance_and_the_end_is_told() -> None:
    assert told(0.2) == [LINES[0], LINES[3], LINES[5], LINES[-1]]
