"""vLLM's own command line, read the way `vllm serve` reads it."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import LoRAParserAction
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser

from deliberate.engines.errors import InvalidRequest

_CPU_BLOCKS = "deliberate.engines.vllm.cpu_blocks.WorkerExtension"

_CPU_BLOCK_SIZE = 16
"""Tokens per block of the prefix cache on a CPU. vLLM's default there, 128, would read up to 127 tokens of a known
prefix again at every step of a search. `--block-size 32` gives back AMX attention to processors that have it."""

_MOST_CPU_CACHE = 4 * 2**30
"""Bytes for keys and values on a CPU when nobody said how many, at most a quarter of the memory."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user asked of vLLM."""

    engine: Any
    """Its AsyncEngineArgs."""
    adapters: tuple[Any, ...]
    """A LoRARequest for each of `--lora-modules`."""


def read(
    path: str,
    arguments: Sequence[str],
    *,
    max_model_len: int | None = None,
    dtype: str | None = None,
    max_batch: int | None = None,
) -> Options:
    """Raises InvalidRequest for options that vLLM does not know or values that it does not take."""
    named = {"--max-model-len": max_model_len, "--dtype": dtype, "--max-num-seqs": max_batch}
    given = [part for name, value in named.items() if value is not None for part in (name, str(value))]
    # The last mention of an option counts, so that a user's own come after ours.
    parsed = _parser().parse_args(["--model", path, "--enable-prefix-caching", *given, *arguments])
    if current_platform.is_cpu():
        _fit_cpu(parsed)
    parsed.enable_lora = parsed.enable_lora or bool(parsed.lora_modules)
    # The protocol's log-probabilities are the model's own, before temperature and bias.
    parsed.logprobs_mode = "raw_logprobs"
    return Options(AsyncEngineArgs.from_cli_args(parsed), _adapters(parsed.lora_modules or []))


class _Parser(FlexibleArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(f"vLLM's options: {message}. `vllm serve --help=all` lists them.")


def _parser() -> Any:
    parser = AsyncEngineArgs.add_cli_args(_Parser(prog="vllm", add_help=False))
    parser.add_argument("--lora-modules", nargs="+", action=LoRAParserAction)
    return parser


def _fit_cpu(parsed: Any) -> None:
    if parsed.enable_chunked_prefill is None:
        # A seeded sample whose prompt is read in chunks kills vLLM's model runner for CPUs: it rewinds the offset of
        # the sample's random generator, and generators on a CPU have none. So prompts wait until a step takes them
        # whole.
        parsed.enable_chunked_prefill = False
    if parsed.block_size is None and not parsed.worker_extension_cls:
        parsed.block_size, parsed.worker_extension_cls = _CPU_BLOCK_SIZE, _CPU_BLOCKS
    if parsed.kv_cache_memory_bytes is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        # VLLM_CPU_KVCACHE_SPACE still wins over it inside vLLM.
        parsed.kv_cache_memory_bytes = min(_MOST_CPU_CACHE, memory // 4)


def _adapters(modules: Sequence[Any]) -> tuple[Any, ...]:
    for module in modules:
        if not Path(module.path, "adapter_config.json").is_file():
            raise InvalidRequest(f"--lora-modules {module.name}: {module.path} has no adapter_config.json.")
    return tuple(LoRARequest(module.name, i, module.path) for i, module in enumerate(modules, start=1))
