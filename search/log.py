"""Reading a search's events: candidates, token counts and the choice."""

from collections import Counter
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from deliberate.engines.protocol import Sample
from deliberate.search.budget import Limit
from deliberate.search.events import (
    Cancelled,
    Chosen,
    Completed,
    Event,
    Expanded,
    Failed,
    Prompted,
    Pruned,
    Sampled,
    Scored,
)
from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.equivalence import answer_key
from deliberate.verifiers.protocol import Verdict


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """What became of one candidate."""

    index: int
    status: Literal["finished", "truncated", "cancelled", "failed"]
    tokens: int
    """Its length. Chains of steps share the tokens of the steps that they share."""
    sample: Sample | None = None
    """Set when it was finished or truncated."""
    verdict: Verdict | None = None
    detail: str = ""
    """Why it failed."""

    @property
    def answer(self) -> str | None:
        """The final answer read from its text, as written."""
        return None if self.sample is None else final_answer(self.sample.text)


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What became of the steps of a search over steps."""

    drawn: int
    pruned: int
    """Chains that were not followed any further."""
    cancelled: int
    failed: int


class Log:
    """Everything a search has said so far."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.seconds: list[float] = []
        """When each was said, since the log was begun."""
        self._start = perf_counter()
        self._records: dict[int, CandidateRecord] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._chosen: Chosen | None = None
        self._prompt_tokens: int | None = None
        self.completion_tokens = 0
        """Every token that was generated for the search, whatever became of it."""

    def add(self, event: Event) -> None:
        """Append one event, in order."""
        self.events.append(event)
        self.seconds.append(perf_counter() - self._start)
        self.completion_tokens += event.spent
        match event:
            case Sampled(index, sample) | Completed(index, sample):
                status = "finished" if sample.finish.reason == "stop" else "truncated"
                self._records[index] = CandidateRecord(index, status, sample.tokens, sample)
            case Cancelled(index, tokens, parent=None):
                self._records[index] = CandidateRecord(index, "cancelled", tokens)
            case Failed(index, tokens, detail, parent=None):
                self._records[index] = CandidateRecord(index, "failed", tokens, detail=detail)
            case Scored(index, verdict):
                self._verdicts[index] = verdict
            case Prompted(tokens):
                self._prompt_tokens = tokens
            case Chosen():
                self._chosen = event
            case _:
                pass

    @property
    def chosen(self) -> Chosen:
        """The end of the search; only there once it is over."""
        assert self._chosen is not None, "a search that ended without an error has chosen"
        return self._chosen

    @property
    def limit(self) -> Limit | None:
        """The limit of the budget that ended the search, where one did."""
        return None if self._chosen is None else self._chosen.limit

    @property
    def candidates(self) -> list[CandidateRecord]:
        """All candidates that came to an end of some kind, by index; steps of a tree are none."""
        return [replace(self._records[i], verdict=self._verdicts.get(i)) for i in sorted(self._records)]

    @property
    def steps(self) -> StepCounts | None:
        """None of searches over whole answers, which have none."""
        counts = Counter(type(event) for event in self.events if _of_step(event))
        if not counts:
            return None
        return StepCounts(counts[Expanded], counts[Pruned], counts[Cancelled], counts[Failed])

    @property
    def prompt_tokens(self) -> int | None:
        """Length of the prompt, where the engine counted it or the search made it."""
        counts = [record.sample.finish.prompt_tokens for record in self._records.values() if record.sample is not None]
        return next((count for count in counts if count is not None), self._prompt_tokens)

    def sample(self, index: int) -> Sample:
        """The text of a candidate that was chosen."""
        sample = self._records[index].sample
        assert sample is not None, "only candidates with a sample are chosen"
        return sample

    def votes(self) -> dict[str, int]:
        """How many candidates give each answer so far, most frequent first; answers as first written."""
        written: dict[str, str] = {}
        counts: dict[str, int] = {}
        for record in self.candidates:
            if (answer := record.answer) is not None:
                key = written.setdefault(answer_key(answer), answer)
                counts[key] = counts.get(key, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _of_step(event: Event) -> bool:
    match event:
        case Expanded() | Pruned():
            return True
        case Cancelled(parent=parent) | Failed(parent=parent):
            return parent is not None
        case _:
            return False
