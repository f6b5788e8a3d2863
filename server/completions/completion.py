"""One completion request on its way: checked, then its prompts are scored and continued."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from deliberate.engines.errors import InvalidRequest, SearchFailed
from deliberate.engines.merging import merged
from deliberate.engines.protocol import Delta, Finish, Prompt, Sample, Sampling
from deliberate.search.events import Event, Failed, Sampled, Streamed
from deliberate.search.sampling import STREAM_INTERVAL
from deliberate.search.strategies.none import NoSearch
from deliberate.search.strategy import Context
from deliberate.server.completions.prompts import ReadPrompt, read_prompts
from deliberate.server.completions.request import CompletionRequest
from deliberate.server.metrics import Meter
from deliberate.server.sampling import draw_seed, read_sampling
from deliberate.server.selection import chosen_by_name, write_strategy
from deliberate.server.serving import ServedModel
from deliberate.server.state import Server
from deliberate.server.work import Work
from deliberate.verifiers.protocol import Problem

_NOTHING = Finish("length")


@dataclass(frozen=True, slots=True)
class PromptScored(Event):
    """What the model thinks of a prompt, before anything was sampled."""

    prompt: int
    logprobs: tuple[float, ...]
    """Of its tokens from the second on; empty unless they were asked for."""
    next_logprobs: tuple[tuple[int, float], ...]
    """Of the token ids that were asked for, as the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Work):
    """A completion request that can be served."""

    request: CompletionRequest
    prompts: tuple[ReadPrompt, ...]
    sampling: Sampling
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")

    @property
    def kind(self) -> str:
        return "none"

    @property
    def slots(self) -> int:
        return len(self.prompts) * self.request.samples

    @property
    def prompt_tokens(self) -> int:
        return sum(len(prompt.token_ids) for prompt in self.prompts)

    async def run(self) -> AsyncGenerator[Event, None]:
        """Scores first, then samples. `index` counts choices: the samples of the first prompt, then of the next."""
        for scored in await self._scored():
            yield scored
        async with aclosing(self._sampled() if self.request.new_tokens else self._unsampled()) as events:
            async for event in events:
                yield event

    async def _scored(self) -> list[PromptScored]:
        engine, sequences = self.model.engine, [prompt.token_ids for prompt in self.prompts]
        tokens = self.request.logprob_token_ids or []
        logprobs: list[tuple[float, ...]] = [()] * len(sequences)
        following: list[tuple[tuple[int, float], ...]] = [()] * len(sequences)
        if self.request.scores_prompts:
            logprobs = await engine.score(sequences, [1] * len(sequences))
        if tokens:
            ends = [[len(sequence) - 1] for sequence in sequences]
            read = await engine.next_logprobs(sequences, ends, tokens)
            following = [tuple(zip(tokens, values, strict=True)) for (values,) in read]
        pairs = zip(logprobs, following, strict=True)
        return [PromptScored(number, own, after) for number, (own, after) in enumerate(pairs)]

    async def _sampled(self) -> AsyncGenerator[Event, None]:
        runs = [self._samples_of(number, prompt) for number, prompt in enumerate(self.prompts)]
        async with aclosing(merged(runs)) as events:
            async for event in events:
                yield event

    async def _samples_of(self, number: int, prompt: ReadPrompt) -> AsyncGenerator[Event, None]:
        first = number * self.request.samples
        async with aclosing(NoSearch().run(self._context(prompt))) as events:
            async for event in events:
                match event:
                    case Streamed(index) | Sampled(index):
                        yield replace(event, index=first + index)
                    case Failed(index, _, detail):
                        raise SearchFailed(f"Choice {first + index} failed: {detail}")
                    case _:
                        pass

    async def _unsampled(self) -> AsyncGenerator[Event, None]:
        """Samples of no tokens."""
        for index in range(self.slots):
            yield Streamed(index, Delta(index, finish=_NOTHING))
            yield Sampled(index, Sample("", (), (), _NOTHING))

    def _context(self, prompt: ReadPrompt) -> Context:
        ids = prompt.token_ids
        return Context(Problem((), ids), Prompt(ids), self.model.engine, self.sampling, choices=self.request.samples)


def prepare_completion(server: Server, request: CompletionRequest, header: str | None, arrived: float) -> Completion:
    """Check a request, before any token is generated. `header` names a strategy; `arrived` is by `perf_counter`.

    Raises InvalidRequest for what the caller must change, EngineStopped when the model is gone.
    """
    model, suffix = server.pool.find(request.model)
    model.check_alive()
    _refuse_search(header, suffix)
    _check_engine(request, model)
    width = len(request.prompt) * request.samples
    server.admission.check_width(width, "prompt" if len(request.prompt) > 1 else "n")
    return Completion(
        server=server,
        model=model,
        meter=Meter(server.metrics, model.name, arrived),
        request=request,
        prompts=read_prompts(request.prompt, model.engine, min(1, request.new_tokens)),
        sampling=_sampling(request, model),
    )


def _refuse_search(header: str | None, suffix: str | None) -> None:
    for source, strategy in chosen_by_name(header, suffix).items():
        if strategy.kind != "none":
            raise InvalidRequest(
                f"{source} asks for the strategy {write_strategy(strategy)!r}, and /v1/completions gives plain samples "
                "only; send the request to /v1/chat/completions.",
                param=source,
            )


def _check_engine(request: CompletionRequest, model: ServedModel) -> None:
    capabilities = model.engine.capabilities
    if not capabilities.token_ids:
        raise InvalidRequest(
            f"Model {model.name!r} reads conversations and takes no token ids; send the request to "
            "/v1/chat/completions.",
            param="model",
        )
    scoring = {
        "prompt_logprobs": request.prompt_logprobs is not None,
        "echo": request.scores_prompts,
        "logprob_token_ids": bool(request.logprob_token_ids),
    }
    param = next((name for name, asked in scoring.items() if asked), None)
    if param is not None and not capabilities.scores:
        raise InvalidRequest(f"The engine of model {model.name!r} cannot score prompts, as {param} asks.", param=param)
    for token_id in request.logprob_token_ids or ():
        if capabilities.vocabulary_size is not None and token_id >= capabilities.vocabulary_size:
            known = f"the model has 0 to {capabilities.vocabulary_size - 1}"
            raise InvalidRequest(f"logprob_token_ids names token {token_id}; {known}.", param="logprob_token_ids")


def _sampling(request: CompletionRequest, model: ServedModel) -> Sampling:
    """As vLLM reads it: sample `i` of each prompt draws with `seed + i`."""
    interval = request.stream_interval or 1
    return read_sampling(
        request,
        model,
        seed=draw_seed() if request.seed is None else request.seed,
        max_tokens=max(1, request.new_tokens),
        top_logprobs=None if request.logprob_token_ids else request.logprobs,
        stream_interval=interval if request.stream else max(interval, STREAM_INTERVAL),
    )
