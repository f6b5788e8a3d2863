"""What is kept of rollouts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deliberate.training.datasets.decontamination import N
from deliberate.training.datasets.loading import DatasetConfig


class SelectionOptions(BaseModel):
    """Of R1's rejection sampling (DeepSeek-AI 2025, arXiv:2501.12948, section 2.3.3), which filtered out chains of
    thought with mixed languages, long paragraphs, and code blocks. It gives no figures; these are ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(default=1.0, ge=0, le=1, description="Completions with a lower score are wrong.")
    max_pass_rate: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Problems are too easy where a larger share of the scored completions is right. Below 1, those "
        "that were always solved are left out.",
    )
    max_paragraph_length: int | None = Field(
        default=2_000, gt=0, description="Characters of the longest paragraph that is readable; None keeps all."
    )
    code_blocks: bool = Field(default=True, description="Keep completions with fenced blocks of code.")
    min_language_consistency: float | None = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Share of words in the problem's language below which languages are mixed; None keeps all, and so "
        "is kept what has no words to tell by.",
    )
    near_duplicates: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Similarity (Jaccard, of 5-grams) from which two completions of a problem are the same; None: "
        "those that differ in blanks only.",
    )
    evaluation: tuple[DatasetConfig, ...] = Field(
        default=(), description="Data that is evaluated on: what shares words with it is left out."
    )
    evaluation_solutions: bool = Field(
        default=True, description="Look for the solutions of this data too, and not for its problems alone."
    )
    ngram: int = Field(
        default=N, gt=0, description="Words in a row that count as shared; of shorter texts all of them do."
    )
    max_per_problem: int | None = Field(default=4, gt=0, description="Most completions of a problem; None keeps all.")
    choose: Literal["first", "shortest", "best", "diverse"] = Field(
        default="first",
        description="Which of more are kept: the first sampled, the shortest, those with the highest scores, or those "
        "that have the least in common.",
    )
    drop_system_prompt: bool = Field(
        default=False, description="Leave out system messages: the student is to do without the teacher's."
    )
