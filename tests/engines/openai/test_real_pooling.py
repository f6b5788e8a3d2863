"""A reward head behind a real vLLM's /pooling."""

from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from deliberate.engines.openai import UpstreamOptions, connect_scorer
from deliberate.engines.openai.addresses import Address
from deliberate.engines.transformers import load_scorer

from ..tiny_models import make_reward_model
from ..vllm_server import FINE_BLOCKS, serve_vllm
from ..with_vllm import EAGER, HEADS, NEEDS_VLLM, STARTS_VLLM

pytestmark = [NEEDS_VLLM, STARTS_VLLM, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=[1, 2])
def head(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[Path, str], None, None]:
    """A random reward model's folder, and where it is served."""
    folder = make_reward_model(tmp_path_factory.mktemp("head"), "sequence", request.param, **HEADS)
    options = [*EAGER, *FINE_BLOCKS, "--runner", "pooling", "--enable-prefix-caching"]
    with serve_vllm(folder, tmp_path_factory.mktemp("pooling") / "log", options) as url:
        yield folder, url


def tokens_read(url: str) -> float:
    """Prompt tokens that went through the model, as the upstream counts them."""
    lines = httpx.get(Address.parse(url).beside("/metrics")).text.splitlines()
    totals = {line.split("{")[0]: float(line.split()[-1]) for line in lines if not line.startswith("#")}
    return totals["vllm:prefix_cache_queries_total"] - totals["vllm:prefix_cache_hits_total"]


async def test_step_by_step_it_says_what_the_embedded_engine_says(head: tuple[Path, str]) -> None:
    folder, url = head
    scorer, embedded = connect_scorer(UpstreamOptions((url,))), load_scorer(str(folder))
    step = scorer.tokenizer.encode("So it is 2 + 3 = 5, then.\n")[:24]
    chain, ends, values = scorer.tokenizer.encode("What is 2 + 3?"), list[int](), list[float]()
    before = tokens_read(url)
    for _ in range(20):
        chain = chain + step
        ends.append(len(chain) - 1)
        ((value,),) = await scorer.score([chain], [[ends[-1]]])
        values.append(value)
    assert 0 < tokens_read(url) - before <= 1.5 * len(chain)
    (whole,) = await scorer.score([chain], [ends])
    (expected,) = await embedded.score([chain], [ends])
    assert values == pytest.approx(whole, abs=1e-3)
    assert values == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 2) for value in values}) > 3
    await scorer.close()
    await embedded.close()
