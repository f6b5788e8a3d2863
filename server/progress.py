"""Lines of progress that a person can read while a search runs."""

from collections.abc import Callable, Iterator
from time import perf_counter

from deliberate.search.events import Asked, Cancelled, Chosen, Event, Failed, Sampled, Scored
from deliberate.search.log import Log
from deliberate.verifiers.answers import after_reasoning

_SHOWN_ANSWERS = 3
_SHOWN_LENGTH = 40


class Progress:
    """Turns events into lines, at most one per `seconds`; the end of each phase is always told."""

    def __init__(
        self, log: Log, width: int, verifier: str | None, seconds: float, clock: Callable[[], float] = perf_counter
    ) -> None:
        """`log` holds the events up to the one that is told."""
        self._log = log
        self._width = width
        self._verifier = verifier
        self._seconds = seconds
        self._clock = clock
        self._last = float("-inf")
        self._ended = 0
        self._untold_scores = False

    def lines(self, event: Event) -> Iterator[str]:
        """What this event gives to tell."""
        if self._untold_scores and not isinstance(event, Scored):
            yield self._scores()
        match event:
            case Asked(_, sample):
                yield self._told(f"Asked first: {shorten(after_reasoning(sample.text))}")
            case Sampled() | Failed():
                self._ended += 1
                if self._due() or self._ended == self._width:
                    yield self._samples()
            case Scored():
                self._untold_scores = True
                if self._due():
                    yield self._scores()
            case Cancelled(index):
                if self._due():
                    yield f"Stopped candidate {index}\n"
            case Chosen():
                yield self._choice(event)
            case _:
                pass

    def _due(self) -> bool:
        return self._clock() - self._last >= self._seconds

    def _told(self, line: str) -> str:
        self._last = self._clock()
        return line + "\n"

    def _samples(self) -> str:
        return self._told(f"Sampled {self._ended} of {self._width}{self._tally()}")

    def _tally(self) -> str:
        votes = list(self._log.votes().items())[:_SHOWN_ANSWERS]
        tally = ", ".join(f"{shorten(answer)} ({count} {plural(count, 'vote')})" for answer, count in votes)
        return f": {tally}" if tally else ""

    def _scores(self) -> str:
        self._untold_scores = False
        verdicts = [record.verdict for record in self._log.candidates if record.verdict is not None]
        scores = [verdict.score for verdict in verdicts if verdict.score is not None]
        best = f", best {max(scores):.2g}" if scores else ""
        undecided = f", {len(verdicts) - len(scores)} undecided" if len(scores) < len(verdicts) else ""
        candidates = plural(len(verdicts), "candidate")
        return self._told(f"Scored {len(verdicts)} {candidates} with {self._verifier}{best}{undecided}")

    def _choice(self, chosen: Chosen) -> str:
        index = chosen.choices[0].index
        answer = next(record.answer for record in self._log.candidates if record.index == index)
        what = f"candidate {index}" if answer is None else f"{shorten(answer)} (candidate {index})"
        fallback = f"; {chosen.fallback}" if chosen.fallback else ""
        return self._told(f"Chose {what}: {chosen.reason}{fallback}")


def shorten(text: str) -> str:
    """One line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_LENGTH else line[: _SHOWN_LENGTH - 1] + "…"


def plural(count: int, noun: str) -> str:
    """The noun for so many."""
    return noun if count == 1 else noun + "s"
