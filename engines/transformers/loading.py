"""From a folder or hub id to a running engine or scorer."""

import os
from pathlib import Path

import torch

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.huggingface import HuggingFaceTokenizer, read_chat_template
from deliberate.engines.transformers.engine import TransformersEngine
from deliberate.engines.transformers.model import CausalModel
from deliberate.engines.transformers.network import LanguageModel, Network, RewardModel
from deliberate.engines.transformers.scheduler import Limits
from deliberate.engines.transformers.scorer import TransformersScorer

_SMALL = 50_000_000
"""Parameters below which a step's matrix products are too small to split: threads would only wait for each other."""


def load(
    path: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    max_batch: int | None = None,
    max_model_len: int | None = None,
    kv_cache_gib: float | None = None,
    threads: int | None = None,
    chat_template: Path | None = None,
) -> TransformersEngine:
    """Load a model folder or hub id and start its engine.

    `max_batch`: sequences that run at once (64 on CPU, 256 on a GPU). `max_model_len`: a context shorter than the
    model's. `kv_cache_gib`: memory for keys and values, half of it for finished prefixes. `threads`: CPU threads of
    torch in the whole process (one for models under 50M parameters, else as many as cores).

    Raises InvalidRequest, saying why, for a model that cannot be loaded or run right.
    """
    model = _model(path, LanguageModel, device, dtype, max_model_len, threads)
    tokenizer = HuggingFaceTokenizer(path, read_chat_template(chat_template))
    return TransformersEngine(model, tokenizer, _limits(model, max_batch, kv_cache_gib))


def load_scorer(
    path: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    max_model_len: int | None = None,
    threads: int | None = None,
) -> TransformersScorer:
    """Load a reward model's folder or hub id and start it: a sequence or token classifier with one label or two.

    Options are those of `load`. Raises InvalidRequest, saying why, for a model that cannot be loaded or run right.
    """
    model = _model(path, RewardModel, device, dtype, max_model_len, threads)
    return TransformersScorer(model, HuggingFaceTokenizer(path), _limits(model))


def _model(
    path: str, network: type[Network], device: str, dtype: str, max_model_len: int | None, threads: int | None
) -> CausalModel:
    model = CausalModel(path, device, dtype, network)
    if threads is None and model.parameters < _SMALL:
        threads = 1
    if threads is not None:
        torch.set_num_threads(threads)
    if max_model_len is not None:
        if not 1 < max_model_len <= model.context_length:
            raise InvalidRequest(f"max_model_len {max_model_len} is not in 2 to {model.context_length}.")
        model.context_length = max_model_len
    return model


def _limits(model: CausalModel, max_batch: int | None = None, kv_cache_gib: float | None = None) -> Limits:
    on_cpu = model.device.type == "cpu"
    batch = max_batch or (64 if on_cpu else 256)
    memory = _spare_memory(model.device) if kv_cache_gib is None else kv_cache_gib * 2**30
    tokens = max(model.context_length, int(memory / 2 / model.kv_bytes_per_token))
    return Limits(batch, tokens, min(tokens, 64 * model.context_length), prefill_tokens=1024 if on_cpu else 4096)


def _spare_memory(device: torch.device) -> float:
    """Bytes for keys and values when nobody said how many."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return 0.6 * free
    return min(8 * 2**30, 0.25 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
