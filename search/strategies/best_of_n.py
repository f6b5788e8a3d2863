"""Best-of-N: the candidate the verifier likes best (Cobbe et al. 2021, arXiv:2110.14168)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from deliberate.search.events import Choice
from deliberate.search.ranking import Ballot, by_score
from deliberate.search.strategy import Context
from deliberate.search.verified import VerifiedStrategy


class BestOfN(VerifiedStrategy, frozen=True):
    """Sample n candidates; the one with the highest score wins: argmax_i score(s_i).

    Where it stops at the first that passes, candidates are judged as they end, and what still runs is cancelled.
    """

    kind: Literal["best_of_n"] = "best_of_n"
    alias: ClassVar[str] = "best-of"
    stop_at_pass: bool | None = None
    """End with the first candidate that the verifier accepts (with as many as the request has choices). None leaves it
    to the verifier: true for those whose passing candidates are all as good, such as `agent_format`. A verifier that
    compares candidates with each other sees all of them at once, whatever is asked for here."""

    def stops_at_pass(self, context: Context) -> bool:
        config = context.verifier_config
        if config is not None and config.compares:
            return False
        if self.stop_at_pass is not None:
            return self.stop_at_pass
        return config is not None and config.one_pass_suffices

    def rank(self, candidates: Sequence[Ballot], scores: Mapping[int, float]) -> tuple[list[Choice], str | None]:
        return by_score(candidates, scores), None
