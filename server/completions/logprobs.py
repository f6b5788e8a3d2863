"""Log-probabilities in the shape of OpenAI's completions: columns, one row per token."""

from collections.abc import Mapping, Sequence

from deliberate.engines.protocol import Tokenizer
from deliberate.server.completions.replies import CompletionLogprobs, PromptLogprob
from deliberate.server.logprobs import FLOOR


class LogprobColumns:
    """Writes the rows of one choice, piece by piece."""

    def __init__(self, tokenizer: Tokenizer, as_ids: bool) -> None:
        """`as_ids` names tokens by their ids."""
        self._tokenizer = tokenizer
        self._as_ids = as_ids
        self._offset = 0

    def rows(
        self,
        token_ids: Sequence[int],
        logprobs: Sequence[float | None],
        alternatives: Sequence[Sequence[tuple[int, float]]],
    ) -> CompletionLogprobs:
        """More tokens. A token of unknown log-probability, such as a prompt's first, has no alternatives either."""
        tokens = [self._name(token_id) for token_id in token_ids]
        tops = [
            None if logprob is None else self._top([(token_id, logprob), *others])
            for token_id, logprob, others in zip(token_ids, logprobs, alternatives, strict=True)
        ]
        values = [None if logprob is None else max(logprob, FLOOR) for logprob in logprobs]
        return CompletionLogprobs(
            text_offset=self._offsets(token_ids), token_logprobs=values, tokens=tokens, top_logprobs=tops
        )

    def _top(self, entries: Sequence[tuple[int, float]]) -> Mapping[str, float]:
        return {self._name(token_id): max(logprob, FLOOR) for token_id, logprob in entries}

    def _offsets(self, token_ids: Sequence[int]) -> list[int]:
        """In characters, as far as tokens are characters."""
        offsets: list[int] = []
        for token_id in token_ids:
            offsets.append(self._offset)
            self._offset += len(text_of(self._tokenizer, token_id))
        return offsets

    def _name(self, token_id: int) -> str:
        return f"token_id:{token_id}" if self._as_ids else text_of(self._tokenizer, token_id)


def prompt_logprobs(
    tokenizer: Tokenizer, token_ids: Sequence[int], logprobs: Sequence[float]
) -> list[Mapping[int, PromptLogprob] | None]:
    """In vLLM's form. `logprobs` begin with the second token's; nothing predicts the first."""
    entries = zip(token_ids[1:], logprobs, strict=True)
    return [None, *({t: PromptLogprob(logprob=max(p, FLOOR), decoded_token=text_of(tokenizer, t))} for t, p in entries)]


def text_of(tokenizer: Tokenizer, token_id: int) -> str:
    """A token by itself; bytes that are no character are shown as `\N{REPLACEMENT CHARACTER}`."""
    return tokenizer.token_bytes(token_id).decode(errors="replace")
