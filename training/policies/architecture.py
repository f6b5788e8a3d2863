"""The architecture of the models trained here from scratch.

They are Qwen2's (biases on queries, keys and values only) in the form of a Llama whose attention has biases: the two
compute the same while the biases of the attention's output stay zero. The form matters because AutoTokenizer gives
every model of type qwen2 Qwen's own splitting of text, whatever tokenizer lies beside it.
"""

from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.shape import ModelShape


def new_model(shape: ModelShape, tokenizer: ChatTokenizer, seed: int) -> LlamaForCausalLM:
    """Random weights, drawn as Qwen2 draws them."""
    settings: dict[str, Any] = {
        **shape.model_dump(),
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.context_length,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
    }
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    drawn = Qwen2ForCausalLM(Qwen2Config(**settings))
    model = LlamaForCausalLM(LlamaConfig(**settings, attention_bias=True))
    model.load_state_dict(drawn.state_dict(), strict=False)
    return model


def freeze_output_biases(model: nn.Module) -> None:
    """Keep the attention's output biases at zero where they are; those of queries, keys and values learn."""
    for name, parameter in model.named_parameters():
        if name.endswith("o_proj.bias") and not parameter.any():
            parameter.requires_grad_(False)


def scale_logits(model: LlamaForCausalLM, factor: float) -> None:
    """Multiply all logits, by way of the last norm's weights."""
    with torch.no_grad():
        model.model.norm.weight.mul_(factor)
