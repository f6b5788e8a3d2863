"""Where a verifier's failure becomes a verdict: what crashes, hangs or says what cannot be has decided nothing.

The one boundary of its kind. Whoever asks a verifier (a search, `/v1/verify`, an ensemble its members, a reward) builds
it here, so that a bug in one verifier costs its own word: no search fails of it, and no candidate gets a score from it.
What cannot be had before anything ran, such as a model that is not served, is the caller's to change (InvalidRequest).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import DeliberateError
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, Verifier, VerifierConfig

logger = logging.getLogger(__name__)


def build_guarded(config: VerifierConfig, resources: Resources) -> "GuardedVerifier":
    """The verifier at work. Raises InvalidRequest when the resources lack what it needs."""
    return GuardedVerifier(config.build(resources), config.kind, resources.verifier_seconds)


@dataclass(frozen=True, slots=True)
class GuardedVerifier:
    """A verifier that always answers: one sound verdict for each candidate, within the time limit.

    The limit ends what waits; a verifier that computes within the event loop cannot be stopped, and should use the
    worker processes.
    """

    verifier: Verifier
    kind: str
    seconds: float
    """For one call, of however many candidates."""

    @property
    def judges(self) -> Judges:
        return self.verifier.judges

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        limit = asyncio.timeout(self.seconds)
        try:
            async with limit:
                verdicts = await self.verifier.verify(problem, candidates)
            return self._checked(verdicts, len(candidates))
        except Exception as error:  # noqa: BLE001 - the boundary
            if limit.expired():
                missing = Verdict.undecided(f"{self.kind} took more than {self.seconds:g} s", "timeout")
            else:
                missing = self._failed(error)
            return [missing] * len(candidates)

    def _failed(self, error: Exception) -> Verdict:
        """Domain errors are written for callers; others are told in the log alone."""
        if isinstance(error, DeliberateError):
            return Verdict.undecided(f"{self.kind} failed: {error}")
        logger.error("Verifier %s crashed", self.kind, exc_info=error)
        return Verdict.undecided(f"{self.kind} crashed: {type(error).__name__}, of which the log tells more")

    def _checked(self, verdicts: list[Verdict], expected: int) -> list[Verdict]:
        if len(verdicts) == expected:
            return list(map(self._sound, verdicts))
        logger.error("Verifier %s gave %d verdicts for %d candidates", self.kind, len(verdicts), expected)
        return [Verdict.undecided(f"{self.kind} gave {len(verdicts)} verdicts for {expected} candidates")] * expected

    def _sound(self, verdict: Verdict) -> Verdict:
        score, decided = verdict.score, verdict.status == "ok"
        if (score is not None and 0 <= score <= 1) if decided else (score is None and verdict.passed is None):
            return verdict
        logger.error("Verifier %s gave the impossible verdict %r", self.kind, verdict)
        return Verdict.undecided(f"{self.kind} gave the score {score!r} with status {verdict.status!r}")
