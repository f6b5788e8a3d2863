"""Finer blocks for vLLM's attention on CPUs, so that its prefix cache loses less between the steps of a search.

vLLM's own backend says that it takes multiples of 32 tokens, while its kernels have a path for multiples of 16. This
module is imported in vLLM's worker, as its extension, and registers there a backend that says so.
"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUntypedClassDecorator=false
from typing import Any

from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend


@register_backend(AttentionBackendEnum.CPU_ATTN)
class FineCPUAttentionBackend(CPUAttentionBackend):
    @staticmethod
    def get_supported_kernel_block_sizes(kv_cache_spec: Any = None) -> list[Any]:
        return [MultipleOf(16)]


class WorkerExtension:
    """What vLLM mixes into its worker; it is named so that the worker imports this module."""
