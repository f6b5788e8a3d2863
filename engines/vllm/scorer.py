"""Reward heads on vLLM's pooling runner."""

# pyright: reportMissingImports=false
import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from transformers import AutoConfig
from vllm.inputs.engine import tokens_input
from vllm.pooling_params import PoolingParams

from deliberate.engines.checks import check_positions
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.engines.protocol import Capabilities, EngineStats
from deliberate.engines.vllm.core import Core
from deliberate.engines.vllm.options import Options

_HEADS = ("ForSequenceClassification", "ForTokenClassification")
"""Ends of the names of architectures."""


class VllmScorer:
    """Logits of a sequence or token classification head. Made by `load_scorer`.

    Each position is a request of its own for the tokens up to it, pooled at the LAST one: in a causal model a token's
    logits depend on nothing after it, so that this is what token classification (ALL pooling) gives there as well,
    but only LAST pooling reads vLLM's prefix cache. A head with one label gives that logit, one with two the second
    minus the first.
    """

    def __init__(self, core: Core, tokenizer: HuggingFaceTokenizer) -> None:
        self._core = core
        self._tokenizer = tokenizer
        self._capabilities = Capabilities(core.model.max_model_len, core.model.get_vocab_size())

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        return self._tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._core.stats

    @property
    def failure(self) -> BaseException | None:
        return self._core.failure

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        self._core.require_alive()
        check_positions(self._capabilities, sequences, positions)
        read = [
            asyncio.gather(*(self._logit(sequence[: at + 1]) for at in asked))
            for sequence, asked in zip(sequences, positions, strict=True)
        ]
        return [tuple(values) for values in await asyncio.gather(*read)]

    async def close(self) -> None:
        await self._core.close()

    async def _logit(self, prefix: Sequence[int]) -> float:
        params = PoolingParams(task="classify", use_activation=False)
        prompt = tokens_input(list(prefix))
        with self._core.in_our_words():
            async with aclosing(self._core.llm.encode(prompt, params, self._core.next_id())) as outputs:
                output: Any = await anext(outputs)
        logits: list[float] = output.outputs.data.tolist()
        return logits[0] if len(logits) == 1 else logits[1] - logits[0]


def start(options: Options) -> VllmScorer:
    """Start vLLM with these options. Raises InvalidRequest, saying why, if it cannot or it is no reward head."""
    arguments = options.engine
    _check_head(arguments)
    tokenizer = HuggingFaceTokenizer(arguments.tokenizer or arguments.model)
    return VllmScorer(Core(arguments), tokenizer)


def _check_head(arguments: Any) -> None:
    try:
        config = AutoConfig.from_pretrained(
            arguments.model, revision=arguments.revision, trust_remote_code=arguments.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"Cannot load a reward model from {arguments.model!r}: {error}", param="model") from error
    own = [name for name in config.architectures or () if not name.endswith(_HEADS)]
    if own:
        raise InvalidRequest(
            f"{arguments.model!r} is a {own[0]}, whose head vLLM does not read at the last token alone; "
            "serve it with the engine transformers.",
            param="model",
        )
    if config.num_labels not in (1, 2):
        raise InvalidRequest(
            f"{arguments.model!r} has {config.num_labels} labels; a reward head has one (its logit is the score) "
            "or two (the second's logit minus the first's).",
            param="model",
        )
