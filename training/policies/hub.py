"""The typed door to transformers, whose own annotations leave much unknown: the few calls that this room makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils import logging

from deliberate.engines.protocol import Message
from deliberate.search.templating import template_messages
from deliberate.training.optimization import processes


class ChatTokenizer:
    """A tokenizer with a chat template."""

    def __init__(self, folder: Path | str) -> None:
        """Load from a Hugging Face tokenizer folder, or by name from the hub.

        Raises:
            FileNotFoundError: a path that is no folder (a Path is never taken for a name on the hub).
        """
        if isinstance(folder, Path) and not folder.is_dir():
            raise FileNotFoundError(f"no tokenizer folder {folder}")
        self._inner: Any = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
        self.end_id: int = self._inner.eos_token_id
        """Ends every turn, and so every completion."""
        pad: int | None = self._inner.pad_token_id
        self.pad_id: int = self.end_id if pad is None else pad
        self.context_length: int = self._inner.model_max_length

    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return len(self._inner)

    def encode(self, text: str) -> list[int]:
        """The text's tokens, with nothing put around them."""
        return list(self._inner(text, add_special_tokens=False).input_ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return self._inner.decode(token_ids, skip_special_tokens=True)

    def prompt(self, question: str, system: str | None = None) -> list[int]:
        """A user's question, and a system message if any, ready for the assistant's completion."""
        messages = [{"role": "user", "content": question}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        return self.conversation(messages)

    def conversation(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """A conversation, and what may be called in it, ready for the completion; as the server reads it."""
        plain = template_messages([dict(message) for message in messages])
        offered = {"tools": list(tools)} if tools else {}
        return list(
            self._inner.apply_chat_template(list(plain), add_generation_prompt=True, return_dict=False, **offered)
        )

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a model folder; of several processes the main one does."""
        if processes.is_main():
            self._inner.save_pretrained(folder)


def hide_progress_bars() -> None:
    """Stop transformers from drawing a bar for each file it reads or writes."""
    logging.disable_progress_bar()
