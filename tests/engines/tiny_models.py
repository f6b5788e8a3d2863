"""Makes small random models of real architectures, with a byte-level tokenizer, in a folder."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from deliberate.engines.transformers.reward_heads import Qwen2ForProcessRewardModel, Qwen2ForRewardModel

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

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


def byte_tokenizer(*marks: str, begins: bool = False) -> PreTrainedTokenizerFast:
    """One token per byte, id 256 ends a sequence, `marks` are tokens too; one begins a sequence if `begins`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|end|>"])
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in marks])
    begin = {"bos_token": "<|begin|>"} if begins else {}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", **begin)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def sentence_piece_tokenizer() -> PreTrainedTokenizerFast:
    """Shaped as Llama's and Mistral's: blanks are letters, one stands before every text, and `<s>` begins it.

    Of more than one letter are the pieces ` ки`, ` +` and ` -`.
    """
    letters = ["▁", *(chr(code) for code in range(33, 127)), "к", "и"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, "ки", "▁ки", "▁+", "▁-"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("к", "и"), ("▁", "ки"), ("▁", "+"), ("▁", "-")]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    strip = decoders.Strip(content=" ", left=1, right=0)
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


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
QWEN_HEADS: dict[str, Any] = {"outcome": Qwen2ForRewardModel, "process": Qwen2ForProcessRewardModel}


def make_reward_model(
    folder: Path, head: str = "sequence", labels: int = 1, model_type: str = "qwen2", seed: int = 0, **changes: Any
) -> Path:
    """Save a random reward model whose values spread over a few nats.

    `head` is sequence or token, or as Qwen publishes them outcome or process.
    """
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[model_type](**{**SMALL, **changes})
    config.num_labels = labels
    model: Any = QWEN_HEADS[head](config) if head in QWEN_HEADS else REWARD_HEADS[head].from_config(config)
    with torch.no_grad():
        for layer in (getattr(model, "score", None), getattr(model, "classifier", None)):
            for part in layer if isinstance(layer, nn.Sequential) else [layer]:
                if isinstance(part, nn.Linear):
                    part.weight.mul_(16.0)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def make_value_head_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Save a random model as Skywork publishes its PRMs: a pickle of a language model and its value head."""
    torch.manual_seed(seed)
    config = CONFIG_MAPPING["qwen2"](**{**SMALL, **changes})
    model: Any = AutoModelForCausalLM.from_config(config)
    head = {"v_head.summary.weight": torch.randn(1, config.hidden_size), "v_head.summary.bias": torch.randn(1)}
    config.architectures = ["Qwen2ForPrmModel"]
    config.save_pretrained(folder)
    torch.save({**model.state_dict(), **head}, folder / "pytorch_model.bin")
    byte_tokenizer().save_pretrained(folder)
    return folder
