"""The typed door to transformers, whose own annotations leave much unknown: the few calls that this room makes."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging


class ChatTokenizer:
    """A tokenizer with a chat template."""

    def __init__(self, folder: Path) -> None:
        """Load from a Hugging Face tokenizer folder.

        Raises:
            FileNotFoundError: there is no such folder (it is never taken for a name on the hub).
        """
        if not folder.is_dir():
            raise FileNotFoundError(f"no tokenizer folder {folder}")
        self._inner: Any = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
        self.pad_id: int = self._inner.pad_token_id
        self.end_id: int = self._inner.eos_token_id
        """Ends every turn, and so every completion."""
        self.context_length: int = self._inner.model_max_length

    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return len(self._inner)

    def encode(self, text: str) -> list[int]:
        """The text's tokens, with nothing put around them."""
        return list(self._inner(text, add_special_tokens=False).input_ids)

    def prompt(self, question: str, system: str | None = None) -> list[int]:
        """A user's question, and a system message if any, ready for the assistant's completion."""
        messages = [{"role": "user", "content": question}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return list(self._inner.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a model folder."""
        self._inner.save_pretrained(folder)


def hide_progress_bars() -> None:
    """Stop transformers from drawing a bar for each file it reads or writes."""
    logging.disable_progress_bar()


def load_model(folder: Path) -> LlamaForCausalLM:
    """Read a model in single precision, onto the CPU."""
    loaded: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)  # pyright: ignore[reportUnknownMemberType]
    return loaded


def move_model(model: LlamaForCausalLM, device: torch.device) -> LlamaForCausalLM:
    """The model on another device."""
    untyped: Any = model
    return untyped.to(device)


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config.json, generation_config.json and model.safetensors."""
    model.save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
