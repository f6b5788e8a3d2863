"""What a request may say to a judge, whatever its mode."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, FiniteFloat, StringConstraints, model_validator

from deliberate.verifiers.protocol import VerifierConfig


class Criterion(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """One thing that is graded by itself."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]
    """What the judge calls it in its reply."""
    description: Annotated[str, StringConstraints(max_length=2_000)] = ""
    """What deserves a good grade."""
    weight: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    """Its share of the score."""


class JudgeOptions(VerifierConfig, frozen=True):
    """Options that modes read."""

    rubric: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = None
    """What a good answer is, in words, for any mode."""
    criteria: Annotated[tuple[Criterion, ...], Field(max_length=16)] = ()
    """For `rubric`: what is graded each by itself; the score is the grades' weighted mean."""
    scale: Annotated[int, Field(ge=1, le=100)] = 10
    """For `rubric`: grades go from 0 to this."""
    reference: Annotated[str, StringConstraints(min_length=1, max_length=100_000)] | None = None
    """An answer known to be right, which the judge is shown; `reference` needs it."""
    samples: Annotated[int, Field(ge=1, le=64)] = 4
    """Replies of the judge to each question, averaged. Token probabilities are asked for once."""
    temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] = 0.6
    """Of the judge's replies; at 0 they are all the same."""
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 1_024
    """New tokens of one reply, thoughts included; what this cuts short is no verdict."""
    seed: Annotated[int, Field(ge=0, lt=2**48)] = 0
    """Equal seeds ask equal questions with equal seeds, whatever the order of the candidates."""
    max_characters: Annotated[int, Field(ge=100, le=1_000_000)] = 40_000
    """Of a longer candidate the judge reads the beginning and the end, and the verdict says so."""
    pass_score: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    """Candidates with this score pass; None where the judge only grades."""

    @model_validator(mode="after")
    def _criteria_differ(self) -> Self:
        names = [criterion.name for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError(f"criteria need different names; got {', '.join(names)}")
        return self
