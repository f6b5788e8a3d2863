"""One choice of a completion, written whole or piece by piece."""

from deliberate.engines.protocol import Delta
from deliberate.server.completions.completion import Completion, PromptScored
from deliberate.server.completions.logprobs import LogprobColumns, prompt_logprobs
from deliberate.server.completions.replies import CompletionChoice, CompletionLogprobs
from deliberate.server.errors import began_anew


class ChoiceWriter:
    """What concerns the prompt stands in the first piece."""

    def __init__(self, completion: Completion, index: int, scored: PromptScored) -> None:
        self._request = completion.request
        self._prompt = completion.prompts[scored.prompt]
        self._scored = scored
        self._index = index
        self._tokenizer = completion.model.engine.tokenizer
        self._columns = LogprobColumns(self._tokenizer, bool(self._request.return_tokens_as_token_ids))
        self._begun = False

    def write(self, delta: Delta) -> CompletionChoice:
        """The next piece. Raises UpstreamFailed when a new beginning voids what was sent."""
        if self._begun and delta.restart:
            raise began_anew(self._index)
        piece = self._piece(delta)
        if not self._begun:
            piece = piece.model_copy(update=self._about_the_prompt(piece))
        self._begun = True
        return piece

    def _piece(self, delta: Delta) -> CompletionChoice:
        finish = delta.finish
        return CompletionChoice(
            index=self._index,
            text=delta.text,
            logprobs=None if self._request.logprobs is None else self._logprobs(delta),
            finish_reason=None if finish is None else "length" if finish.reason == "length" else "stop",
            stop_reason=None if finish is None else finish.matched,
            token_ids=list(delta.token_ids) if self._request.return_token_ids else None,
        )

    def _about_the_prompt(self, piece: CompletionChoice) -> dict[str, object]:
        ids, logprobs = self._prompt.token_ids, self._scored.logprobs
        fields: dict[str, object] = {}
        if self._request.echo:
            fields["text"] = self._prompt.text + piece.text
        if self._request.return_token_ids:
            fields["prompt_token_ids"] = list(ids)
        if self._request.prompt_logprobs is not None:
            fields["prompt_logprobs"] = prompt_logprobs(self._tokenizer, ids, logprobs)
        return fields

    def _logprobs(self, delta: Delta) -> CompletionLogprobs:
        ids, logprobs = list(delta.token_ids), list[float | None](delta.logprobs)
        alternatives = list(delta.top_logprobs) or [()] * len(ids)
        if self._request.logprob_token_ids:
            alternatives = [self._scored.next_logprobs] * len(ids)
        if self._request.echo and not self._begun:
            ids = [*self._prompt.token_ids, *ids]
            logprobs = [None, *self._scored.logprobs, *logprobs]
            alternatives = [*[()] * len(self._prompt.token_ids), *alternatives]
        return self._columns.rows(ids, logprobs, alternatives)
