"""From a completion's events to what the caller reads, at once or in chunks."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from deliberate.engines.protocol import Delta, Sample
from deliberate.search.events import Event, Sampled, Streamed
from deliberate.server.completions.choices import ChoiceWriter
from deliberate.server.completions.completion import Completion, PromptScored
from deliberate.server.completions.replies import CompletionChoice, TextCompletion
from deliberate.server.completions.request import CompletionRequest
from deliberate.server.replies import CompletionTokensDetails, Usage


async def complete(completion: Completion) -> TextCompletion:
    """Run it to its end."""
    writer = _Writer(completion)
    choices: list[CompletionChoice] = []
    async with aclosing(completion.events()) as events:
        async for event in events:
            match event:
                case PromptScored():
                    writer.begin(event)
                case Sampled(index, sample):
                    choices.append(writer.choice(index, _as_delta(sample)))
                case _:
                    pass
    return writer.reply(sorted(choices, key=lambda choice: choice.index), with_usage=True)


async def stream(completion: Completion) -> AsyncGenerator[str, None]:
    """Run it; the chunks as they are sent."""
    writer = _Writer(completion)
    options = completion.request.stream_options
    with_usage = options is not None and options.include_usage
    async with aclosing(completion.events()) as events:
        async for event in events:
            if (choice := writer.on(event)) is not None:
                yield writer.reply([choice]).model_dump_json(exclude=None if with_usage else {"usage"})
    if with_usage:
        yield writer.reply([], with_usage=True).model_dump_json()


def _as_delta(sample: Sample) -> Delta:
    return Delta(0, sample.text, sample.token_ids, sample.logprobs, sample.top_logprobs, sample.finish)


class _Writer:
    """Writes the choices of one request, and the envelope around them."""

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._fingerprint = completion.fingerprint
        self._choices: dict[int, ChoiceWriter] = {}

    def begin(self, scored: PromptScored) -> None:
        """The choices of one prompt can be written now."""
        n = self._completion.request.samples
        for index in range(scored.prompt * n, (scored.prompt + 1) * n):
            self._choices[index] = ChoiceWriter(self._completion, index, scored)

    def on(self, event: Event) -> CompletionChoice | None:
        """What this event gives to stream."""
        match event:
            case PromptScored():
                self.begin(event)
            case Streamed(index, delta) if _says_something(delta, self._completion.request):
                return self.choice(index, delta)
            case _:
                pass
        return None

    def choice(self, index: int, delta: Delta) -> CompletionChoice:
        """The choice's next part, or all of it."""
        return self._choices[index].write(delta)

    def reply(self, choices: Sequence[CompletionChoice], *, with_usage: bool = False) -> TextCompletion:
        """Choices in their envelope."""
        return TextCompletion(
            id=self._completion.id,
            created=self._completion.created,
            model=self._completion.request.model,
            system_fingerprint=self._fingerprint,
            choices=list(choices),
            usage=self._usage() if with_usage else None,
        )

    def _usage(self) -> Usage:
        prompt, completion = self._completion.prompt_tokens, self._completion.log.completion_tokens
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=0),
        )


def _says_something(delta: Delta, request: CompletionRequest) -> bool:
    if delta.text or delta.finish is not None or delta.restart:
        return True
    return bool(delta.token_ids) and (bool(request.return_token_ids) or request.logprobs is not None)
