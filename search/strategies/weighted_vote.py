"""Weighted vote, or weighted best-of-N (Li et al. 2022, arXiv:2206.02336)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from deliberate.search.events import Choice
from deliberate.search.ranking import Ballot, by_votes
from deliberate.search.verified import VerifiedStrategy


class WeightedVote(VerifiedStrategy, frozen=True):
    """Sample n candidates; each votes for its answer with its score: argmax_a sum_i 1[a_i = a] score(s_i)."""

    kind: Literal["weighted_vote"] = "weighted_vote"
    alias: ClassVar[str] = "weighted-vote"

    def rank(self, candidates: Sequence[Ballot], scores: Mapping[int, float]) -> tuple[list[Choice], str | None]:
        return by_votes(candidates, scores)
