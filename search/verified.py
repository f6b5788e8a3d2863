"""What strategies that ask a verifier about whole candidates share."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import ClassVar

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

    needs: ClassVar[Judges | None] = Judges.OUTCOME
    verifier: AnyVerifier | None = None
    """Scores the candidates; None takes the served model's default verifier."""

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
        choices, fallback = self._choose(candidates, scored)
        reason = "; ".join(filter(None, [f"all {self.n} samples ended", undecided(scored)]))
        yield Chosen(tuple(choices[: context.choices]), reason, fallback)

    def _choose(self, candidates: Sequence[Ballot], scored: Sequence[Scored]) -> tuple[list[Choice], str | None]:
        scores = {s.index: s.verdict.score for s in scored if s.verdict.score is not None}
        if scores:
            return self.rank(candidates, scores)
        choices, fallback = by_votes(candidates)
        note = f"the verifier could not judge any candidate ({scored[0].verdict.reason}), so the majority decided"
        return choices, "; ".join(filter(None, [note, fallback]))
