"""Reward heads behind vLLM's POST /pooling."""

from collections.abc import Sequence

from pydantic import BaseModel

from deliberate.engines.checks import check_positions
from deliberate.engines.errors import UpstreamFailed
from deliberate.engines.merging import together
from deliberate.engines.openai.asking import answer
from deliberate.engines.openai.fleet import Fleet
from deliberate.engines.openai.routing import token_path
from deliberate.engines.openai.usage import Usage
from deliberate.engines.protocol import Capabilities, EngineStats, Tokenizer


class _Pooled(BaseModel, frozen=True):
    data: tuple[float, ...]


class _Pooling(BaseModel, frozen=True):
    data: tuple[_Pooled]
    usage: Usage | None = None


class UpstreamScorer:
    """The values of a classification head with one label, or with two: wrong and right. Made by `connect_scorer`.

    Asks for one beginning of the sequence per position, since the head reads the last token (LAST pooling), which
    takes what went before from the prefix cache. `stats` count whole prompts, for `/pooling` tells no cached tokens;
    what the upstream read is its own metric, `vllm:prompt_tokens_total` less the prefix cache's hits.
    """

    def __init__(self, fleet: Fleet, model: str, capabilities: Capabilities, tokenizer: Tokenizer) -> None:
        self._fleet = fleet
        self.model = model
        """Its name there."""
        self.capabilities = capabilities
        self.tokenizer = tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._fleet.stats

    @property
    def failure(self) -> BaseException | None:
        return self._fleet.failure

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        self._fleet.require_open()
        check_positions(self.capabilities, sequences, positions)
        pairs = zip(sequences, positions, strict=True)
        return await together([self._score(sequence, asked) for sequence, asked in pairs])

    async def close(self) -> None:
        await self._fleet.close()

    async def _score(self, sequence: Sequence[int], positions: Sequence[int]) -> tuple[float, ...]:
        """The last position goes first, so that the others find their beginnings in the prefix cache."""
        if not positions:
            return ()
        last = await self._value(sequence[: positions[-1] + 1])
        return (*await together([self._value(sequence[: at + 1]) for at in positions[:-1]]), last)

    async def _value(self, prefix: Sequence[int]) -> float:
        body = {
            "model": self.model,
            "task": "classify",
            "input": list(prefix),
            "use_activation": False,
            "encoding_format": "float",
        }
        pooling = await answer(
            self._fleet, token_path(prefix), lambda address: address.beside("/pooling"), body, _Pooling
        )
        self._fleet.counters.read(pooling.usage, len(prefix))
        match pooling.data[0].data:
            case (value,):
                return value
            case (wrong, right):
                return right - wrong
            case values:
                raise UpstreamFailed(f"The head of {self.model!r} has {len(values)} labels; a reward head has 1 or 2.")
