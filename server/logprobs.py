"""Log-probabilities of the content's tokens: which of a sample's tokens belong to it, and how they are sent."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from deliberate.engines.protocol import Tokenizer
from deliberate.server.replies import Logprobs, TokenLogprob, TopLogprob

FLOOR = -9999.0
"""JSON knows no minus infinity."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A token and the bytes of the text that it covers."""

    start: int
    end: int
    token: TokenLogprob


@dataclass(slots=True)
class ContentTokens:
    """A sample's tokens on their way, laid along the bytes of its text."""

    tokenizer: Tokenizer
    alternatives: int
    """Shown of each token; a verifier may have asked for more of them."""
    _waiting: deque[_Placed] = field(default_factory=deque[_Placed])
    _end: int = 0

    def add(
        self,
        token_ids: Sequence[int],
        logprobs: Sequence[float],
        top_logprobs: Sequence[Sequence[tuple[int, float]]],
    ) -> None:
        """More tokens. The alternatives may be left out."""
        alternatives = top_logprobs or [()] * len(token_ids)
        for token_id, logprob, top in zip(token_ids, logprobs, alternatives, strict=True):
            token = self._token(token_id, logprob, top)
            start, self._end = self._end, self._end + len(token.bytes or ())
            self._waiting.append(_Placed(start, self._end, token))

    def take(self, content_start: int | None, shown: int) -> Logprobs:
        """The content's tokens that begin before byte `shown` and were not taken yet."""
        taken: list[TokenLogprob] = []
        while content_start is not None and self._waiting and self._waiting[0].start < shown:
            placed = self._waiting.popleft()
            if placed.end > content_start:
                taken.append(placed.token)
        return Logprobs(content=taken)

    def _token(self, token_id: int, logprob: float, top: Sequence[tuple[int, float]]) -> TokenLogprob:
        own = self._entry(token_id, logprob)
        alternatives = [self._entry(other, value) for other, value in top[: self.alternatives]]
        return TokenLogprob(token=own.token, logprob=logprob, bytes=own.bytes, top_logprobs=alternatives)

    def _entry(self, token_id: int, logprob: float) -> TopLogprob:
        raw = self.tokenizer.token_bytes(token_id)
        return TopLogprob(token=raw.decode(errors="replace"), logprob=max(logprob, FLOOR), bytes=list(raw))


def tokens_before(tokenizer: Tokenizer, token_ids: Sequence[int], byte: int) -> int:
    """How many tokens end at or before that byte of the text."""
    end = 0
    for number, token_id in enumerate(token_ids):
        end += len(tokenizer.token_bytes(token_id))
        if end > byte:
            return number
    return len(token_ids)
