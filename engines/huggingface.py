"""What a model's folder says beside its weights: the tokenizer, behind the protocol, and recommended sampling."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Message


class HuggingFaceTokenizer:
    """Wraps a `tokenizers`-backed tokenizer; `chat_template` overrides the model's own."""

    def __init__(self, path: str, chat_template: str | None = None) -> None:
        """Raises InvalidRequest for a folder or hub id without a tokenizer that can be loaded."""
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"Cannot load a tokenizer from {path!r}: {error}", param="model") from error
        if not self._tokenizer.is_fast:
            raise InvalidRequest(f"{path}: the engines need a tokenizer.json; this model has none.")
        self._chat_template = chat_template
        self._backend: Any = self._tokenizer.backend_tokenizer
        self._fingerprint = hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._backend.decode(list(token_ids), skip_special_tokens=True)

    def token_bytes(self, token_id: int) -> bytes:
        token: str | None = self._backend.id_to_token(token_id)
        if token is None or token_id in self._special_ids:
            return b""
        if self._bytes_of_character is not None and all(c in self._bytes_of_character for c in token):
            return bytes(self._bytes_of_character[c] for c in token)
        return self.decode([token_id]).encode()

    def apply_chat_template(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        if self._chat_template is None and self._tokenizer.chat_template is None:
            raise InvalidRequest("This model has no chat template; start the server with --chat-template FILE.")
        try:
            text: str = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise InvalidRequest(
                f"The model's chat template refused the messages: {error}", param="messages"
            ) from error
        return self.encode(text)

    @property
    def beginning_of_sequence(self) -> tuple[int, ...]:
        return () if self._tokenizer.bos_token_id is None else (self._tokenizer.bos_token_id,)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def end_of_sequence(self) -> frozenset[int]:
        """The tokenizer's own end token, where it has one."""
        return frozenset() if self._tokenizer.eos_token_id is None else frozenset([self._tokenizer.eos_token_id])

    def stream(self) -> "TokenText":
        """A decoder for one sample."""
        return TokenText(self._backend)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self._tokenizer.all_special_ids)

    @cached_property
    def _bytes_of_character(self) -> dict[str, int] | None:
        """Byte-level BPE writes each byte as one printable character; None for other kinds of tokenizer."""
        if "ByteLevel" not in repr(self._backend.decoder):
            return None
        printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
        others = [byte for byte in range(256) if byte not in printable]
        return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


class TokenText:
    """Text of a growing sample; characters whose bytes span tokens come out whole."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []

    def push(self, token_id: int) -> str:
        """The text this token completes; often a word, sometimes nothing."""
        text = self._stream.step(self._backend, token_id)
        if text is None:
            self._pending.append(token_id)
            return ""
        self._pending.clear()
        return text

    def flush(self) -> str:
        """Text of bytes that never became a character, as U+FFFD."""
        pending, self._pending = self._pending, []
        return self._backend.decode(pending, skip_special_tokens=True) if pending else ""


def read_chat_template(path: Path | None) -> str | None:
    """The template of a file, for models that lack one or have a bad one."""
    return None if path is None else path.read_text(encoding="utf-8")


def recommended_sampling(config: Any) -> dict[str, float]:
    """Of a model's GenerationConfig: the fields of `Sampling` that its authors set."""
    values = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k", "min_p")}
    return {name: value for name, value in values.items() if value is not None}
