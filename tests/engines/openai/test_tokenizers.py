"""What a remote tokenizer makes of what an upstream tells, of tokenizers of both kinds."""

import json
from collections.abc import Iterator

import httpx
import pytest

from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.tokenizers import RemoteTokenizer

from ..tiny_models import byte_tokenizer, sentence_piece_tokenizer


@pytest.fixture(params=["begins", "plain"])
def remote(request: pytest.FixtureRequest) -> Iterator[tuple[RemoteTokenizer, tuple[int, ...]]]:
    """Over an upstream whose tokenizer begins texts with `<s>`, or with nothing; and the ids of that."""
    begins = request.param == "begins"
    tokenizer = sentence_piece_tokenizer() if begins else byte_tokenizer()

    def answer(asked: httpx.Request) -> httpx.Response:
        body = json.loads(asked.content)
        if "messages" in body:
            tail = "assistant: " if body["add_generation_prompt"] else ""
            return httpx.Response(200, json={"tokens": list(f"{body['messages'][0]['content']}\n{tail}".encode())})
        ids = tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"])
        return httpx.Response(200, json={"tokens": ids})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        yield RemoteTokenizer(client, (Address.parse("http://gpu:8000/v1"),), "m", None), (1,) if begins else ()


def test_what_begins_a_text(remote: tuple[RemoteTokenizer, tuple[int, ...]]) -> None:
    tokenizer, expected = remote
    assert tokenizer.beginning_of_sequence == expected
    assert not set(expected) & set(tokenizer.encode("a"))


def test_a_conversation_that_is_closed(remote: tuple[RemoteTokenizer, tuple[int, ...]]) -> None:
    tokenizer, _ = remote
    asking, closed = (
        tokenizer.apply_chat_template([{"content": "?"}], add_generation_prompt=ask) for ask in (True, False)
    )
    assert bytes(asking) == b"?\nassistant: "
    assert bytes(closed) == b"?\n"
