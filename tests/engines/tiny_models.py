"""Makes small random models of real architectures, with a byte-level tokenizer, in a folder."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "

SMALL: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 256,
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, id 256 ends a sequence."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(folder: Path, model_type: str = "qwen2", seed: int = 0, scale: float = 8.0, **changes: Any) -> Path:
    """Save a random model; `scale` sharpens its logits, so that it does not draw tokens evenly."""
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[model_type](**{**SMALL, **changes})
    model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(scale)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


REWARD_HEADS: dict[str, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}


def make_reward_model(
    folder: Path, head: str = "sequence", labels: int = 1, model_type: str = "qwen2", seed: int = 0, **changes: Any
) -> Path:
    """Save a random reward model whose values spread over a few nats; `head` is sequence or token."""
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[model_type](**{**SMALL, **changes})
    config.num_labels = labels
    model: Any = REWARD_HEADS[head].from_config(config)
    with torch.no_grad():
        for layer in ("score", "classifier"):
            if hasattr(model, layer):
                getattr(model, layer).weight.mul_(16.0)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
