"""What strategies that ask a verifier about whole candidates share."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from deliberate.search.events import Choice, Chosen, Event, Scored
from deliberate.search.ranking import Ballot, ballots, by_votes
from deliberate.search.sampling import ParallelStrategy, Wave
from deliberate.search.scoring import undecided, verdicts
from deliberate.search.strategy import Context
from deliberate.verifiers.protocol import Judges, VerifierConfig
from deliberate.verifiers.registry import AnyVerifier


class VerifiedStrategy(ParallelStrategy, frozen=True):
    """Sample n candidates, score them, rank their answers by the scores.

    When the verifier can decide nothing at all, the majority decides instead, and the answer says so.
    """

    verifier: AnyVerifier | None = None
    """Scores the candidates; None takes the served model's default verifier."""

    @property
    def needs(self) -> Judges | None:
        return Judges.OUTCOME

    @property
    def verifier_config(self) -> VerifierConfig | None:
        return self.verifier

    @abstractmethod
    def rank(self, candidates: Sequence[Ballot], scores: Mapping[int, float]) -> tuple[list[Choice], str | None]:
        """Answers from the scores (by candidate index, at least one), and the reason for a fallback."""

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        async with aclosing(Wave(context, self.sampling(context), 0, self.n).events()) as wave:
            async for event in wave:
                events.append(event)
                yield event
        candidates = ballots(events)
        scored: list[Scored] = []
        async for event in verdicts(context, candidates):
            scored.append(event)
            yield event
        choices, fallback = ranked(candidates, scored, self.rank)
        reason = "; ".join(filter(None, [f"all {self.n} samples ended", undecided(scored)]))
        yield Chosen(tuple(choices[: context.choices]), reason, fallback)


Rank = Callable[[Sequence[Ballot], Mapping[int, float]], tuple[list[Choice], str | None]]
"""Answers from the candidates that count and their scores, and the reason for a fallback."""


def ranked(candidates: Sequence[Ballot], scored: Sequence[Scored], rank: Rank) -> tuple[list[Choice], str | None]:
    """Answers by what the verifier said; where it said nothing of these candidates, by the majority."""
    counting = {ballot.index for ballot in candidates}
    of_these = [event for event in scored if event.index in counting]
    scores = {event.index: event.verdict.score for event in of_these if event.verdict.score is not None}
    if scores:
        return rank(_as_judged(candidates, of_these), scores)
    choices, fallback = by_votes(candidates)
    why = f" ({of_these[0].verdict.reason})" if of_these else ""
    note = f"the verifier could not judge any candidate{why}, so the majority decided"
    return choices, "; ".join(filter(None, [note, fallback]))


def _as_judged(candidates: Sequence[Ballot], scored: Sequence[Scored]) -> list[Ballot]:
    """The candidates with the answers that the verifier read from them, where it read any."""
    answers = {event.index: event.verdict.answer for event in scored if event.verdict.answer is not None}
    return [replace(b, answer=f"judged:{answers[b.index]}") if b.index in answers else b for b in candidates]
