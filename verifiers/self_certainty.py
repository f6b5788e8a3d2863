"""The `self_certainty` verifier: how sure the model was of the tokens it wrote.

Self-certainty (Kang 2025, arXiv:2502.18581) is how far a token's distribution is from the uniform one, averaged over
the tokens: -1/(nV) sum_i sum_j log(V p(j | x, y_<i)) = KL(U || p), over a vocabulary of V tokens. Confidence (DeepConf,
Fu 2025, arXiv:2508.15260) is -1/k sum_j log p(j), over the k likeliest tokens; a group's is its mean over a window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from deliberate.engines.errors import InvalidRequest
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

FLOOR = -100.0
"""Nats that stand for less: of a token that cannot be."""

_REST = 1e-6
"""Least probability of all tokens that were not reported: what rounding leaves of it may be less than nothing."""


class SelfCertainty(VerifierConfig, frozen=True):
    """The model's certainty about a candidate, from the log-probabilities of each token's likeliest alternatives.

    A search asks its engine for these; of texts from elsewhere nothing can be said. The tokens that are not reported
    share what is left of the probability evenly, so that self-certainty is a lower bound; with `top` as large as the
    vocabulary it is exact. The score is c / (c + scale) of the certainty c in nats.
    """

    kind: Literal["self_certainty"] = "self_certainty"
    measure: Literal["self_certainty", "confidence"] = "self_certainty"
    """Kang's distance of the whole distribution from the uniform one, or DeepConf's confidence of its `top` tokens."""
    over: Literal["mean", "lowest_group", "bottom_groups", "tail"] = "mean"
    """Which tokens count: all, the least certain window, the tenth of all windows that is least certain, the last."""
    window: Annotated[int, Field(ge=1, le=1_000_000)] = 2048
    """Tokens of a group, and of the tail; of a shorter candidate all of them."""
    top: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Alternatives per token. Engines may have a limit to them."""
    scale: Annotated[FiniteFloat, Field(gt=0)] = 10.0
    """Certainty in nats that scores 1/2."""

    @property
    def top_logprobs(self) -> int:
        return self.top

    def build(self, resources: Resources) -> "SelfCertaintyVerifier":
        engine = None if resources.policy is None else resources.engines[resources.policy]
        size = None if engine is None else engine.capabilities.vocabulary_size
        if engine is not None and size is None:
            raise InvalidRequest(
                f"Self-certainty is about tokens, and the engine of model {resources.policy!r} shows none.",
                param="verifier.kind",
            )
        return SelfCertaintyVerifier(self, size)


@dataclass(frozen=True, slots=True)
class SelfCertaintyVerifier:
    config: SelfCertainty
    vocabulary_size: int | None

    judges = Judges.PARTIAL

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self._judge(candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> Verdict:
        alternatives = candidate.top_logprobs
        if self.vocabulary_size is None or not alternatives or not all(alternatives):
            return Verdict.undecided("the candidate comes without the log-probabilities of its tokens' alternatives")
        logprobs = [[value for _, value in top] for top in alternatives]
        if any(math.isnan(value) for top in logprobs for value in top):
            return Verdict.undecided("the log-probabilities of the candidate's tokens are not numbers")
        if self.config.measure == "confidence":
            values = [confidence(top) for top in logprobs]
        else:
            values = [self_certainty(top, self.vocabulary_size) for top in logprobs]
        certainty = max(0.0, self._over(values))
        score = certainty / (certainty + self.config.scale)
        return Verdict(score, reason=f"{self.config.measure} {certainty:.3g} nats ({self.config.over})")

    def _over(self, values: Sequence[float]) -> float:
        size = min(self.config.window, len(values))
        if self.config.over == "mean":
            return fmean(values)
        if self.config.over == "tail":
            return fmean(values[-size:])
        groups = sorted(_windows(values, size))
        return groups[0] if self.config.over == "lowest_group" else fmean(groups[: math.ceil(len(groups) / 10)])


def confidence(top: Sequence[float]) -> float:
    """DeepConf's, of one token: minus the mean of the log-probabilities of its likeliest alternatives, in nats."""
    return -fmean(max(FLOOR, value) for value in top)


def self_certainty(top: Sequence[float], vocabulary_size: int) -> float:
    """Kang's, of one token: KL(U || p) in nats, where tokens beside `top` share the rest of p evenly."""
    others = max(0, vocabulary_size - len(top))
    rest = max(_REST, 1 - math.fsum(math.exp(min(0.0, value)) for value in top))
    total = math.fsum(max(FLOOR, value) for value in top)
    if others:
        total += others * math.log(rest / others)
    return -total / (len(top) + others) - math.log(len(top) + others)


def _windows(values: Sequence[float], size: int) -> list[float]:
    """The mean of every window."""
    sums = [0.0, *accumulate(values)]
    return [(sums[end] - sums[end - size]) / size for end in range(size, len(sums))]
