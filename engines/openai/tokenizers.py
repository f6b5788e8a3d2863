"""Tokenizers that live elsewhere, or nowhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from deliberate.engines.errors import DeliberateError, InvalidRequest, UpstreamFailed
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.failures import Broken, refusal, unreadable
from deliberate.engines.protocol import Message, Tokenizer

T = TypeVar("T", bound=BaseModel)

_REMEMBERED_TOKENS = 1 << 16
_REMEMBERED_TEXTS = 1 << 10


class _Tokens(BaseModel, frozen=True):
    tokens: tuple[int, ...]


class _Text(BaseModel, frozen=True):
    prompt: str


class RemoteTokenizer:
    """vLLM's `/tokenize` and `/detokenize`, one request per new text: slower than a tokenizer on this machine.

    `decode` shows special tokens, which vLLM does not drop; a token that is part of a character has the bytes of
    U+FFFD. All methods raise UpstreamFailed when no address answers, and InvalidRequest for what it refuses.
    """

    def __init__(
        self, client: httpx.Client, addresses: Sequence[Address], model: str, chat_template: str | None
    ) -> None:
        self._client = client
        self._addresses = addresses
        self._model = model
        self._chat_template = {} if chat_template is None else {"chat_template": chat_template}
        self._tokens_of = lru_cache(_REMEMBERED_TEXTS)(self._encode)
        self._beginning = lru_cache(1)(self._ask_beginning)
        self._bytes_of = lru_cache(_REMEMBERED_TOKENS)(lambda token_id: self.decode([token_id]).encode())

    @property
    def fingerprint(self) -> str:
        """Names the upstream's model: nothing more is known of its tokenizer."""
        return f"{self._model} at {self._addresses[0]}"

    def encode(self, text: str) -> list[int]:
        return list(self._tokens_of(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._ask("/detokenize", {"tokens": list(token_ids)}, _Text).prompt if token_ids else ""

    def token_bytes(self, token_id: int) -> bytes:
        return self._bytes_of(token_id)

    @property
    def beginning_of_sequence(self) -> tuple[int, ...]:
        return self._beginning()

    def apply_chat_template(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        body = {"messages": [dict(message) for message in messages], "add_generation_prompt": add_generation_prompt}
        return list(self._ask("/tokenize", {**body, **self._chat_template}, _Tokens).tokens)

    def _encode(self, text: str) -> tuple[int, ...]:
        return self._ask("/tokenize", {"prompt": text, "add_special_tokens": False}, _Tokens).tokens

    def _ask_beginning(self) -> tuple[int, ...]:
        """What the upstream puts before a text, for it does not tell the name of the token."""
        text = self._encode("a")
        told = self._ask("/tokenize", {"prompt": "a", "add_special_tokens": True}, _Tokens).tokens
        return told[: told.index(text[0])]

    def _ask(self, path: str, body: dict[str, Any], form: type[T]) -> T:
        failures: list[Exception] = []
        for address in self._addresses:
            try:
                return self._ask_one(address.beside(path), body, form)
            except InvalidRequest:
                raise
            except (httpx.HTTPError, DeliberateError, Broken) as error:
                failures.append(error)
        raise UpstreamFailed(f"No upstream tokenizes: {'; '.join(map(str, failures))}")

    def _ask_one(self, url: str, body: dict[str, Any], form: type[T]) -> T:
        response = self._client.post(url, json={"model": self._model, **body})
        if not response.is_success:
            raise refusal(url, response.status_code, response.content)
        try:
            return form.model_validate_json(response.content)
        except ValidationError:
            raise unreadable(url, response.content) from None


class NoTokenizer:
    """Of upstreams that show no tokens."""

    def __init__(self, model: str, address: Address) -> None:
        self.fingerprint = f"unknown tokenizer of {model} at {address}"
        self.beginning_of_sequence: tuple[int, ...] = ()
        self._address = address

    def encode(self, text: str) -> list[int]:
        self._refuse()

    def decode(self, token_ids: Sequence[int]) -> str:
        self._refuse()

    def token_bytes(self, token_id: int) -> bytes:
        return b""

    def apply_chat_template(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """No ids: the upstream reads the messages themselves."""
        return []

    def _refuse(self) -> NoReturn:
        raise InvalidRequest(
            f"{self._address} is asked through its chat API, which shows no tokens. An upstream that runs vLLM or "
            "Deliberate has them (kind `vllm`)."
        )


@dataclass(frozen=True, slots=True)
class Decoder:
    """A tokenizer's `decode` for the event loop."""

    tokenizer: Tokenizer

    @property
    def remote(self) -> bool:
        """Each call is a request."""
        return isinstance(self.tokenizer, RemoteTokenizer)

    async def __call__(self, token_ids: Sequence[int]) -> str:
        if self.remote:
            return await asyncio.to_thread(self.tokenizer.decode, list(token_ids))
        return self.tokenizer.decode(token_ids)
