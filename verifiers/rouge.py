"""The `rouge` verifier: how much of a reference text the reply says again.

ROUGE (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"), as F1 of recall and precision.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import StringConstraints

from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.thinking import Part, part_of

MAX_WORDS = 20_000
Measure: TypeAlias = Literal["rouge_1", "rouge_2", "rouge_l"]

_WORD = re.compile(r"\w+")


class Rouge(VerifierConfig, frozen=True):
    """Similarity to a reference text by words that are the same, whatever their case; nothing is stemmed."""

    kind: Literal["rouge"] = "rouge"
    reference: Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
    """What a good reply is like."""
    measure: Measure = "rouge_l"
    """Words in common, pairs of words in common, or the longest common subsequence of words."""
    part: Part = "all"
    """All of the text, the chain of thought at its beginning alone, or the reply that follows."""

    def build(self, resources: Resources) -> "RougeVerifier":
        return RougeVerifier(self)


@dataclass(frozen=True, slots=True)
class RougeVerifier:
    config: Rouge

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [await asyncio.to_thread(self._judge, candidate) for candidate in candidates]

    def _judge(self, candidate: Candidate) -> Verdict:
        words = words_of(part_of(candidate.text, self.config.part))
        reference = words_of(self.config.reference)
        if max(len(words), len(reference)) > MAX_WORDS:
            return Verdict.undecided(f"a text has more than {MAX_WORDS} words")
        score = similarity(self.config.measure, reference, words)
        return Verdict(score, reason=f"{self.config.measure} {score:.3f}")


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def similarity(measure: Measure, reference: Sequence[str], words: Sequence[str]) -> float:
    """F1, in [0, 1]; 0 where one of the two says nothing."""
    if measure == "rouge_l":
        common, sizes = common_subsequence(reference, words), (len(reference), len(words))
    else:
        size = 1 if measure == "rouge_1" else 2
        counts = [Counter(zip(*(side[i:] for i in range(size)), strict=False)) for side in (reference, words)]
        common, sizes = (counts[0] & counts[1]).total(), (counts[0].total(), counts[1].total())
    return 2 * common / sum(sizes) if common else 0.0


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, in len(second) operations on numbers of len(first) bits.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited": a bit that is 0 is a step of the table's last row.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << index
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        here = row & places.get(word, 0)
        row = (row + here | row - here) & full
    return len(first) - row.bit_count()
