"""What strategies that ask a verifier about whole candidates share."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from deliberate.search.events import Choice, Chosen, Event, Failed, Sampled, Scored
from deliberate.search.ranking import Ballot, ballots, by_votes
from deliberate.search.sampling import ParallelStrategy, Wave
from deliberate.search.scoring import undecided, verdicts
from deliberate.search.strategy import Context
from deliberate.search.until_pass import enough_pass, until_pass
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

    def stops_at_pass(self, context: Context) -> bool:
        """Whether the search ends with the first candidate that passes."""
        return False

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        log: list[Event] = []
        wave = Wave(context, self.sampling(context), 0, self.n)
        async with aclosing(until_pass(context, wave) if self.stops_at_pass(context) else wave.events()) as events:
            async for event in events:
                log.append(event)
                yield event
        candidates = ballots(log)
        scored = [event for event in log if isinstance(event, Scored)]
        enough = enough_pass(candidates, scored, context.choices)
        known = {event.index for event in scored}
        async for event in verdicts(context, [b for b in candidates if not enough and b.index not in known]):
            scored.append(event)
            yield event
        choices, fallback = ranked(candidates, scored, self.rank)
        ended = sum(isinstance(event, Sampled | Failed) for event in log)
        why = f"stopped after {ended} of {self.n} samples: enough passed" if enough else f"all {self.n} samples ended"
        reason = "; ".join(filter(None, [why, undecided(scored)]))
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
