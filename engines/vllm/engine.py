"""The engine's face: samples and scores from vLLM's AsyncLLM."""

# pyright: reportMissingImports=false
import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from vllm.inputs.engine import tokens_input
from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS, RequestOutputKind, SamplingParams
from vllm.transformers_utils.config import try_get_generation_config

from deliberate.engines.checks import check_positions, check_starts, room_for
from deliberate.engines.errors import ContextOverflow, InvalidRequest
from deliberate.engines.huggingface import HuggingFaceTokenizer, read_chat_template, recommended_sampling
from deliberate.engines.protocol import Capabilities, Delta, Engine, EngineStats, Prompt, Sampling
from deliberate.engines.vllm.core import Core
from deliberate.engines.vllm.options import Options
from deliberate.engines.vllm.samples import GREEDY, SampleReader, sampling_params


class VllmEngine:
    """Samples from and scores under one model, or one of its LoRA adapters. Made by `load`."""

    def __init__(self, core: Core, tokenizer: HuggingFaceTokenizer, adapter: Any = None) -> None:
        """`adapter`: a LoRARequest."""
        self._core = core
        self._tokenizer = tokenizer
        self._adapter = adapter
        self._capabilities = Capabilities(core.model.max_model_len, core.model.get_vocab_size(), structured_output=True)
        # Once, and not for every request: it is read from the model's files.
        config = try_get_generation_config(core.model.model, core.model.trust_remote_code, core.model.revision)
        self.sampling_defaults: Mapping[str, float] = {} if config is None else recommended_sampling(config)
        self.adapters: Mapping[str, Engine] = {}
        """Engines that sample with a LoRA adapter, by its name; they live and end with this one."""

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

    async def generate(self, prompt: Prompt, sampling: Sampling, n: int = 1) -> AsyncGenerator[Delta, None]:
        self._core.require_alive()
        limit = room_for(self.capabilities, prompt.token_ids, sampling)
        greedy = sampling.temperature < GREEDY
        params = sampling_params(sampling, limit, 1 if greedy else n)
        # All greedy samples of a prompt are the same one.
        indices = range(n) if greedy else None
        readers = [SampleReader(i, sampling, self._tokenizer.stream()) for i in range(params.n)]
        with self._core.in_our_words():
            async with aclosing(self._outputs(prompt.token_ids, params)) as outputs:
                async for output in outputs:
                    for piece in output.outputs:
                        delta = readers[piece.index].delta(piece)
                        for told in [delta] if indices is None else [replace(delta, index=i) for i in indices]:
                            yield told

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        self._core.require_alive()
        check_starts(self.capabilities, sequences, starts)
        return await asyncio.gather(*map(self._score, sequences, starts))

    async def next_logprobs(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[tuple[tuple[float, ...], ...]]:
        """Raises ContextOverflow also for the last position of a sequence that fills the context: vLLM wants room for
        the token that it draws there."""
        self._core.require_alive()
        check_positions(self.capabilities, sequences, positions)
        for asked in positions:
            self._require_room(asked[-1] + 1 if asked else 0)
        read = [
            asyncio.gather(*(self._next_logprobs(sequence[: at + 1], tokens) for at in asked))
            for sequence, asked in zip(sequences, positions, strict=True)
        ]
        return [tuple(values) for values in await asyncio.gather(*read)]

    async def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Go on with other weights of the same model, by their names in its folder, and forget what the old ones read.

        They reach vLLM's processes through a file. Raises InvalidRequest while anything runs.
        """
        self._core.require_alive()
        if self.stats.running or self.stats.waiting:
            raise InvalidRequest("The engine is at work; wait until all samples have ended.")
        with TemporaryDirectory(prefix="deliberate-weights-") as folder:
            await asyncio.to_thread(save_file, _without_tied(weights), Path(folder) / "model.safetensors")
            with self._core.in_our_words():
                await self._core.llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
                await self._core.llm.reset_prefix_cache()

    async def close(self) -> None:
        await self._core.close()

    async def _score(self, sequence: Sequence[int], start: int) -> tuple[float, ...]:
        """The last token's log-probability is read where it would be drawn, the others' from vLLM's prompt
        log-probabilities. vLLM computes those for the tokens that it reads, not for those whose keys and values the
        prefix cache holds; then the sequence is read once more, without the cache."""
        if start == len(sequence):
            return ()
        prompt, last = sequence[:-1], sequence[-1]
        if start == len(prompt):
            return await self._next_logprobs(prompt, [last])
        for without_cache in (False, True):
            params = _reading([last], prompt_logprobs=0, skip_reading_prefix_cache=without_cache)
            output = await self._read(prompt, params)
            if output.num_cached_tokens < start:
                break
        # Read from the end: vLLM's list may leave out the cached tokens before.
        following = output.prompt_logprobs.logprobs[start - len(prompt) :]
        return (*following, *_drawn(output, [last]))

    async def _next_logprobs(self, prefix: Sequence[int], tokens: Sequence[int]) -> tuple[float, ...]:
        """log p(token | prefix) of each token; reads what follows the cached part of the prefix."""
        values: list[float] = []
        for first in range(0, len(tokens), MAX_LOGPROB_TOKEN_IDS):
            some = tokens[first : first + MAX_LOGPROB_TOKEN_IDS]
            values += _drawn(await self._read(prefix, _reading(some)), some)
        return tuple(values)

    async def _read(self, tokens: Sequence[int], params: Any) -> Any:
        """vLLM's final output for a request that only reads."""
        with self._core.in_our_words():
            async with aclosing(self._outputs(tokens, params)) as outputs:
                output = await anext(outputs)
        self._core.counters.read += 1
        return output

    def _outputs(self, tokens: Sequence[int], params: Any) -> AsyncGenerator[Any, None]:
        prompt = tokens_input(list(tokens))
        return self._core.llm.generate(prompt, params, self._core.next_id(), lora_request=self._adapter)

    def _require_room(self, length: int) -> None:
        assert self._capabilities.context_length is not None
        if length >= self._capabilities.context_length:
            raise ContextOverflow(length, self._capabilities.context_length)


def start(options: Options, chat_template: Path | None) -> VllmEngine:
    """Start vLLM with these options. Raises InvalidRequest, saying why, if it cannot."""
    tokenizer = HuggingFaceTokenizer(
        options.engine.tokenizer or options.engine.model, read_chat_template(chat_template)
    )
    core = Core(options.engine)
    engine = VllmEngine(core, tokenizer)
    engine.adapters = {adapter.lora_name: VllmEngine(core, tokenizer, adapter) for adapter in options.adapters}
    return engine


def _without_tied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each weight once, as in model folders: those that are tied lie in the same memory."""
    kept = {value.data_ptr(): name for name, value in reversed(list(weights.items()))}
    return {name: weights[name].detach().cpu().contiguous() for name in kept.values()}


def _reading(tokens: Sequence[int], **others: Any) -> Any:
    """SamplingParams to read, with these tokens' log-probabilities at the end."""
    return SamplingParams(
        max_tokens=1,
        temperature=0,
        # vLLM takes each id once.
        logprob_token_ids=list(dict.fromkeys(tokens)),
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
        **others,
    )


def _drawn(output: Any, tokens: Sequence[int]) -> list[float]:
    """These tokens' log-probabilities at the one token that was drawn."""
    flat = output.outputs[0].logprobs
    values = dict(zip(flat.token_ids, flat.logprobs, strict=True))
    return [values[token] for token in tokens]
