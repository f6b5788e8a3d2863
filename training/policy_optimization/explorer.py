"""Samples of the policy as it is now, with what the verifiers say of them.

Each group is scored as soon as it is drawn, while others are still being sampled. Token ids and log-probabilities are
handed on as they were drawn.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from torch import Tensor

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Prompt, Sample
from deliberate.search.evaluation import question_seed
from deliberate.training.datasets.rows import Row
from deliberate.training.datasets.sources import BadData
from deliberate.training.optimization import processes
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policy_optimization.config import RewardOptions, SampledConfig
from deliberate.training.sampling.engines import EngineConfig
from deliberate.training.sampling.groups import Group, Patience
from deliberate.training.sampling.lending import lent_resources
from deliberate.training.sampling.scoring import Scoring
from deliberate.verifiers.background import BackgroundLoop
from deliberate.verifiers.protocol import Resources, Verdict

if TYPE_CHECKING:
    from deliberate.engines.transformers import TransformersEngine
    from deliberate.engines.vllm.engine import VllmEngine


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """Completions of one problem."""

    row: Row
    prompt_ids: tuple[int, ...]
    samples: tuple[Sample, ...]
    verdicts: Mapping[str, Sequence[Verdict]]
    """By the name of the reward, one for each sample."""


class Explorer:
    """An engine of its own with the policy's weights. Use it in a `with` block."""

    def __init__(self, config: SampledConfig, tokenizer: ChatTokenizer) -> None:
        """Raises InvalidRequest for models that cannot be had."""
        self._config = config
        self._tokenizer = tokenizer
        self._engine = _open(config)
        self.tokenizer = self._engine.tokenizer
        self._stack = AsyncExitStack()
        self._loop = BackgroundLoop("explorer")
        try:
            self.resources: Resources = self._loop.run(self._lend())
        except InvalidRequest:
            self.close()
            raise

    def check(self, rows: Sequence[Row]) -> None:
        """Raises BadData naming the first row that has no verifier that can be built."""
        for reward in self._config.rewards:
            _scoring(reward).check(rows, self.resources)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Sample from these weights from now on."""
        self._loop.run(self._engine.load_weights(weights))

    def explore(
        self, rows: Sequence[Row], n: int, seed: str, rewards: Sequence[RewardOptions] | None = None
    ) -> list[ScoredGroup]:
        """`n` completions of each row. Their seeds follow from `seed`, the row and its place. Several processes share
        the rows, and each returns all groups.

        `rewards` are the configured ones unless given. Raises BadData for a prompt that the policy cannot take.
        """
        seeds = [question_seed(self._config.seed, f"{seed}:{place}:{row.id}") for place, row in enumerate(rows)]
        own = processes.share(list(zip(rows, seeds, strict=True)))
        if own.spare:
            return processes.gathered([])
        wanted = self._config.rewards if rewards is None else rewards
        return processes.gathered(self._loop.run(self._groups(own.items, n, wanted)))

    def close(self) -> None:
        """End the engine and what was lent to verifiers."""
        self._loop.run(self._stack.aclose())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _lend(self) -> Resources:
        self._stack.push_async_callback(self._engine.close)
        named = EngineConfig(model=self._config.model_name_or_path)
        return await self._stack.enter_async_context(lent_resources(self._engine, named, self._config.verifier_model))

    async def _groups(
        self, rows: Sequence[tuple[Row, int]], n: int, rewards: Sequence[RewardOptions]
    ) -> list[ScoredGroup]:
        """Of rows with their seeds."""
        return await asyncio.gather(*(self._group(row, n, seed, rewards) for row, seed in rows))

    async def _group(self, row: Row, n: int, seed: int, rewards: Sequence[RewardOptions]) -> ScoredGroup:
        scorings = {reward.name: _scoring(reward) for reward in rewards}
        wanted = [config.top_logprobs for scoring in scorings.values() if (config := scoring.verifier(row)) is not None]
        ids = tuple(self._tokenizer.conversation(row.prompt, row.tools))
        prompt = Prompt(ids, Conversation(row.prompt, row.tools))
        sampling = self._config.sampling.model_copy(update={"seed": seed, "top_logprobs": max(wanted, default=0)})
        try:
            samples = await Group(self._engine, prompt, sampling, n).draw(Patience(retries=0))
        except InvalidRequest as error:
            raise BadData(f"{row.place}: {error} Mend that problem, or leave it out.") from error
        found = await asyncio.gather(
            *(scoring.verdicts(row, prompt, samples, self.resources) for scoring in scorings.values())
        )
        verdicts = {
            name: [verdict or Verdict.undecided("nothing scores") for verdict in of_reward]
            for name, of_reward in zip(scorings, found, strict=True)
        }
        return ScoredGroup(row, ids, tuple(samples), verdicts)


def _open(config: SampledConfig) -> "TransformersEngine | VllmEngine":
    path, dtype, batch = config.model_name_or_path, config.sampling_dtype, config.sampling_batch_size
    if config.use_vllm:
        from deliberate.engines import vllm

        return vllm.load(path, config.vllm_arguments, dtype=dtype, max_batch=batch)
    from deliberate.engines import transformers

    return transformers.load(path, dtype=dtype, max_batch=batch, threads=config.num_threads)


def _scoring(reward: RewardOptions) -> Scoring:
    return Scoring(reward.verifier, reward.fill)
