"""Best-of-N: the candidate the verifier likes best (Cobbe et al. 2021, arXiv:2110.14168)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from deliberate.search.events import Choice
from deliberate.search.ranking import Ballot, by_score
from deliberate.search.verified import VerifiedStrategy


class BestOfN(VerifiedStrategy, frozen=True):
    """Sample n candidates; the one with the highest score wins: argmax_i score(s_i)."""

    kind: Literal["best_of_n"] = "best_of_n"
    alias: ClassVar[str] = "best-of"

    def rank(self, candidates: Sequence[Ballot], scores: Mapping[int, float]) -> tuple[list[Choice], str | None]:
        return by_score(candidates, scores), None
