"""The `length` verifier: is the text as long as it should be?

With `maximum` and a linear `slack` this is the soft overlong punishment of DAPO (Yu 2025, arXiv:2503.14476), shifted to
[0, 1]: maximum = L_max - L_cache, slack = L_cache. With maximum = 0 and a cosine slack of L_max it is the cosine reward
of "Demystifying Long Chain-of-Thought Reasoning in LLMs" (Yeo 2025, arXiv:2502.03373) for right answers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Tokenizer
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.thinking import Part, part_of

Length = Annotated[int, Field(ge=0, le=10_000_000)]


class LengthRange(VerifierConfig, frozen=True):
    """Score 1 from `minimum` to `maximum`; outside it falls to 0 over `slack`, or at once.

    It accepts or rejects where there is no slack, and only grades where there is.
    """

    kind: Literal["length"] = "length"
    minimum: Length = 0
    """Least length that scores 1."""
    maximum: Length | None = None
    """Greatest length that scores 1; None for no bound."""
    slack: Length = 0
    """Length over which the score falls to 0 on either side of the range."""
    shape: Literal["linear", "cosine"] = "linear"
    """How it falls: evenly, or slowly at first and at last, as half a cosine wave."""
    unit: Literal["tokens", "words", "characters"] = "tokens"
    """Tokens are those that were sampled, or, of texts from elsewhere and of parts, those of the model that answers."""
    part: Part = "all"
    """All of the text, the chain of thought at its beginning alone, or the reply that follows."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.maximum is None and self.minimum == 0:
            raise ValueError("a length needs a minimum or a maximum")
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"the maximum {self.maximum} is less than the minimum {self.minimum}")
        return self

    def build(self, resources: Resources) -> "LengthVerifier":
        if self.unit != "tokens":
            return LengthVerifier(self, None)
        if resources.policy is None and self.part == "all":
            return LengthVerifier(self, None)  # In training the tokens come with the completions.
        if resources.policy is None:
            message = "There is no model here to count the tokens of a part with: use words or characters."
            raise InvalidRequest(message, param="verifier.unit")
        engine = resources.engines[resources.policy]
        return LengthVerifier(self, engine.tokenizer if engine.capabilities.token_ids else None)


@dataclass(frozen=True, slots=True)
class LengthVerifier:
    config: LengthRange
    tokenizer: Tokenizer | None

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self._judge(candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> Verdict:
        length = self._length(candidate)
        if length is None:
            return Verdict.undecided("no tokens are known, so that they cannot be counted: use words or characters")
        score = self._score(length)
        return Verdict(score, None if self.config.slack else score == 1, reason=f"{length} {self.config.unit}")

    def _length(self, candidate: Candidate) -> int | None:
        text = part_of(candidate.text, self.config.part)
        if self.config.unit == "characters":
            return len(text)
        if self.config.unit == "words":
            return len(text.split())
        if self.config.part == "all" and candidate.token_ids is not None:
            return len(candidate.token_ids)
        return None if self.tokenizer is None else len(self.tokenizer.encode(text))

    def _score(self, length: int) -> float:
        least, most = self.config.minimum, self.config.maximum
        outside = max(least - length, 0 if most is None else length - most, 0)
        if outside >= self.config.slack:
            return float(outside == 0)
        share = outside / self.config.slack
        return (1 + math.cos(math.pi * share)) / 2 if self.config.shape == "cosine" else 1 - share
