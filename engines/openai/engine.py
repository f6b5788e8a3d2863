"""The engine whose model runs elsewhere."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.merging import merged, together
from deliberate.engines.openai.asking import Asking
from deliberate.engines.openai.calls import Call
from deliberate.engines.openai.chat import ChatCall
from deliberate.engines.openai.completions import CompletionCall
from deliberate.engines.openai.fleet import Fleet
from deliberate.engines.openai.growing import GrowingSample
from deliberate.engines.openai.scoring import Reader
from deliberate.engines.openai.tokenizers import Decoder
from deliberate.engines.protocol import Capabilities, Delta, EngineStats, Finish, Prompt, Sampling, Tokenizer


class OpenAIEngine:
    """Samples from, and where the upstreams are vLLMs scores under, one model of a fleet. Made by `connect`.

    Upstreams that tell no cached tokens (vLLM does with `--enable-prompt-tokens-details`) are taken to have none, and
    a request that broke off to have read its prompt; a chat upstream's tokens are counted as its usage says.
    A sample that goes on elsewhere after a cut counts its frequency and presence penalties from there.
    """

    def __init__(
        self,
        fleet: Fleet,
        model: str,
        capabilities: Capabilities,
        tokenizer: Tokenizer,
        sampling_defaults: Mapping[str, float] | None = None,
    ) -> None:
        self._fleet = fleet
        self.model = model
        """Its name there."""
        self._reader = Reader(fleet, model)
        self._decoder = Decoder(tokenizer)
        self.capabilities = capabilities
        self.tokenizer = tokenizer
        self.sampling_defaults = sampling_defaults or {}

    @property
    def stats(self) -> EngineStats:
        return self._fleet.stats

    @property
    def failure(self) -> BaseException | None:
        return self._fleet.failure

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        """Of the protocol's Engine. Raises UpstreamFailed when every sample was lost; a lost one among others ends
        with `error`."""
        self._fleet.require_open()
        asking = Asking(self._fleet, self.model)
        answers = [asking.deltas(call) for call in self._calls(prompt, sampling, n)]
        async with aclosing(merged(answers)) as merged_answers:
            async for delta in merged_answers:
                yield delta
        if len(asking.lost) == n:
            raise next(iter(asking.lost.values()))
        for index, failure in asking.lost.items():
            yield Delta(index, finish=Finish("error", detail=str(failure)))

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        """Of the protocol's Engine. vLLM reads a whole sequence for it, past its prefix cache."""
        self._require_scores()
        check_starts(self.capabilities, sequences, starts)
        pairs = zip(sequences, starts, strict=True)
        return await together([self._reader.score(sequence, start) for sequence, start in pairs])

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        """Of the protocol's Engine, in one request per position."""
        self._require_scores()
        check_positions(self.capabilities, sequences, positions)
        pairs = zip(sequences, positions, strict=True)
        return await together([self._reader.next_logprobs(sequence, asked, tokens) for sequence, asked in pairs])

    async def close(self) -> None:
        await self._fleet.close()

    def _calls(self, prompt: Prompt, sampling: Sampling, n: int) -> Sequence[Call]:
        tokens, conversation = prompt.token_ids, prompt.conversation
        if self.capabilities.token_ids and not (conversation and conversation.tools):
            limit = room_for(self.capabilities, tokens, sampling)
            samples = [GrowingSample(i, sampling.seed + i, self._decoder) for i in range(n)]
            return CompletionCall.all_of(tokens, sampling, limit, samples)
        if conversation is None:
            raise InvalidRequest("This model's upstream reads conversations, not token ids; none was given.")
        return ChatCall.all_of(conversation, sampling, n, vllm=self.capabilities.token_ids)

    def _require_scores(self) -> None:
        self._fleet.require_open()
        if not self.capabilities.scores:
            raise InvalidRequest(
                "This model's upstream is asked through its chat API, which gives no log-probabilities of given "
                "tokens; one that runs vLLM does (kind `vllm`)."
            )
