"""The openai engine over a real `vllm serve`, beyond the contract."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from deliberate.engines.errors import InvalidRequest, UpstreamFailed
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.engines.openai import UpstreamOptions, connect
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.engine import OpenAIEngine
from deliberate.engines.openai.tokenizers import RemoteTokenizer
from deliberate.engines.protocol import Conversation, Prompt, SampleBuilder, Sampling, StructuredOutput

from ..sampling import samples
from ..with_vllm import NEEDS_VLLM, STARTS_VLLM

pytestmark = [NEEDS_VLLM, STARTS_VLLM, pytest.mark.timeout(300)]

QUESTION = {"role": "user", "content": "Was ist 2 + 3? 🎉"}


@pytest.fixture
def remote(vllm_url: str, wide_model_folder: Path) -> Generator[RemoteTokenizer, None, None]:
    """The upstream's tokenizer, asked over HTTP."""
    with httpx.Client() as client:
        yield RemoteTokenizer(client, (Address.parse(vllm_url),), str(wide_model_folder), None)


def test_the_upstreams_tokenizer_is_the_models(remote: RemoteTokenizer, wide_model_folder: Path) -> None:
    local = HuggingFaceTokenizer(str(wide_model_folder))
    text = "naïve 数学 🎉\n\n  2+2=4\t<think>"
    assert remote.encode(text) == local.encode(text)
    assert remote.decode(local.encode(text)) == text
    assert remote.apply_chat_template([QUESTION]) == local.apply_chat_template([QUESTION])
    closed = remote.apply_chat_template([QUESTION], add_generation_prompt=False)
    assert closed == local.apply_chat_template([QUESTION], add_generation_prompt=False)
    assert remote.beginning_of_sequence == local.beginning_of_sequence == ()
    assert remote.token_bytes(local.encode("a")[0]) == b"a"


def test_a_tokenizer_that_is_gone_is_told(wide_model_folder: Path) -> None:
    with httpx.Client() as client, pytest.raises(UpstreamFailed, match="No upstream tokenizes"):
        RemoteTokenizer(client, (Address.parse("http://127.0.0.1:9"),), "any", None).encode("a")


async def test_a_form_is_enforced(vllm_url: str) -> None:
    engine = connect(UpstreamOptions((vllm_url,)))
    prompt = engine.tokenizer.apply_chat_template([QUESTION])
    sampling = Sampling(max_tokens=20, structured_output=StructuredOutput(regex="[ab]{3}"))
    for sample in await samples(engine, prompt, sampling, 3):
        assert len(sample.text) == 3
        assert set(sample.text) <= {"a", "b"}
    await engine.close()


async def test_a_form_that_it_cannot_read_is_the_callers_mistake(vllm_url: str) -> None:
    engine = connect(UpstreamOptions((vllm_url,)))
    with pytest.raises(InvalidRequest, match=vllm_url):
        await samples(engine, [65], Sampling(structured_output=StructuredOutput(regex="[")))
    await engine.close()


async def test_samples_are_functions_of_their_seeds(vllm_url: str) -> None:
    engine = connect(UpstreamOptions((vllm_url,)))
    prompt = engine.tokenizer.apply_chat_template([QUESTION])
    together = await samples(engine, prompt, Sampling(max_tokens=20, seed=5), 3)
    (alone,) = await samples(engine, prompt, Sampling(max_tokens=20, seed=6))
    rarely = await samples(engine, prompt, Sampling(max_tokens=20, seed=5, stream_interval=8), 3)
    assert together[1].token_ids == alone.token_ids
    assert [sample.token_ids for sample in rarely] == [sample.token_ids for sample in together]
    assert len({sample.token_ids for sample in together}) == 3
    await engine.close()


async def chat(engine: OpenAIEngine, prompt: Prompt, sampling: Sampling) -> tuple[str, int]:
    """Text and tokens of one sample."""
    builder = SampleBuilder()
    sample = [builder.add(delta) async for delta in engine.generate(prompt, sampling)][-1]
    assert sample is not None
    return sample.text, sample.tokens


async def test_asked_as_a_chat_it_says_the_same(vllm_url: str) -> None:
    by_tokens, by_chat = connect(UpstreamOptions((vllm_url,))), connect(UpstreamOptions((vllm_url,), kind="chat"))
    sampling = Sampling(max_tokens=12, temperature=0)
    prompt = Prompt(tuple(by_tokens.tokenizer.apply_chat_template([QUESTION])), Conversation((QUESTION,)))
    text, tokens = await chat(by_tokens, prompt, sampling)
    assert await chat(by_chat, prompt, sampling) == (text.rstrip("\ufffd"), tokens)
    await asyncio.gather(by_tokens.close(), by_chat.close())
