"""Reading a search's events: candidates, token counts and the choice."""

from dataclasses import dataclass, replace
from typing import Literal

from deliberate.engines.protocol import Sample
from deliberate.search.events import Cancelled, Chosen, Event, Failed, Sampled, Scored
from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.equivalence import answer_key
from deliberate.verifiers.protocol import Verdict


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """What became of one candidate."""

    index: int
    status: Literal["finished", "truncated", "cancelled", "failed"]
    tokens: int
    sample: Sample | None = None
    """Set when it was finished or truncated."""
    verdict: Verdict | None = None
    detail: str = ""
    """Why it failed."""

    @property
    def answer(self) -> str | None:
        """The final answer read from its text, as written."""
        return None if self.sample is None else final_answer(self.sample.text)


class Log:
    """Everything a search has said so far."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._records: dict[int, CandidateRecord] = {}
        self._chosen: Chosen | None = None

    def add(self, event: Event) -> None:
        """Append one event, in order."""
        self.events.append(event)
        match event:
            case Sampled(index, sample):
                status = "finished" if sample.finish.reason == "stop" else "truncated"
                self._records[index] = CandidateRecord(index, status, sample.tokens, sample)
            case Cancelled(index, tokens):
                self._records[index] = CandidateRecord(index, "cancelled", tokens)
            case Failed(index, tokens, detail):
                self._records[index] = CandidateRecord(index, "failed", tokens, detail=detail)
            case Scored(index, verdict):
                self._records[index] = replace(self._records[index], verdict=verdict)
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
    def candidates(self) -> list[CandidateRecord]:
        """All candidates that came to an end of some kind, by index."""
        return [self._records[i] for i in sorted(self._records)]

    @property
    def completion_tokens(self) -> int:
        """Tokens of all candidates, whatever became of them."""
        return sum(record.tokens for record in self._records.values())

    @property
    def prompt_tokens(self) -> int | None:
        """Length of the prompt as the engine counted it, where it did."""
        samples = [record.sample for record in self._records.values() if record.sample is not None]
        return next((s.finish.prompt_tokens for s in samples if s.finish.prompt_tokens is not None), None)

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
