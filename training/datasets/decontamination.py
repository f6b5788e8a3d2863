"""Drops training rows that share an n-gram of words with evaluation data.

As in DeepSeekMath (Shao et al. 2024, arXiv:2402.03300): a 10-gram in common is contamination; of texts shorter than
that, only the whole text. Words are compared without case and punctuation. Questions and completions count, each by
itself; system prompts do not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from deliberate.training.datasets.ngrams import ngram_hashes, words
from deliberate.training.datasets.rows import Row

N = 10

RowType = TypeVar("RowType", bound=Row)


@dataclass(frozen=True, slots=True)
class Match:
    """Why a row was dropped."""

    row: Row
    evaluation: Row
    """One that it shares words with."""
    shared: str
    """The first of these words, normalised."""

    def __str__(self) -> str:
        return f"{self.row.place} shares {self.shared!r} with {self.evaluation.place}"


@dataclass(frozen=True, slots=True)
class Decontaminated(Generic[RowType]):
    """Rows that are clean, and what was found in the others."""

    rows: tuple[RowType, ...]
    matches: tuple[Match, ...]


class EvaluationIndex:
    """Finds what evaluation data and a text have in common."""

    def __init__(self, rows: Iterable[Row], n: int = N, *, solutions: bool = True) -> None:
        """Without `solutions` only questions of the evaluation data are looked for."""
        self._n = n
        self._ngrams: dict[int, Row] = {}
        self._short: dict[tuple[str, ...], Row] = {}
        for row in rows:
            for text in (row.question, *(row.completions if solutions else ())):
                self._add(words(text), row)

    def match(self, row: Row) -> Match | None:
        """What the row shares with the evaluation data."""
        for text in (row.question, *row.completions):
            found = self._find(words(text))
            if found is not None:
                evaluation, shared = found
                return Match(row, evaluation, " ".join(shared))
        return None

    def _add(self, text: list[str], row: Row) -> None:
        if 0 < len(text) < self._n:
            self._short.setdefault(tuple(text), row)
        for ngram in ngram_hashes(text, self._n):
            self._ngrams.setdefault(ngram, row)

    def _find(self, text: list[str]) -> tuple[Row, Sequence[str]] | None:
        if len(text) < self._n:
            short = self._short.get(tuple(text))
            return None if short is None else (short, text)
        for start, ngram in enumerate(ngram_hashes(text, self._n)):
            if ngram in self._ngrams:
                return self._ngrams[ngram], text[start : start + self._n]
        return None


def decontaminate(rows: Iterable[RowType], index: EvaluationIndex) -> Decontaminated[RowType]:
    """The rows that share nothing with the evaluation data, in order, and why the others were dropped."""
    clean, matches = list[RowType](), list[Match]()
    for row in rows:
        match = index.match(row)
        if match is None:
            clean.append(row)
        else:
            matches.append(match)
    return Decontaminated(tuple(clean), tuple(matches))
