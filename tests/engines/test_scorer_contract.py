"""What every scorer promises."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deliberate.engines.errors import ContextOverflow, EngineStopped, InvalidRequest
from deliberate.engines.marks import MarkScorer
from deliberate.engines.protocol import TokenScorer
from deliberate.engines.scripted import ByteTokenizer, ScriptedEngine
from deliberate.engines.transformers import load, load_scorer

from .tiny_models import make_reward_model

PROMPT = "user: What is 2 + 3?\nassistant: "
PLUS, MINUS = b"+-"


def scripted_logprob(sequence: object, position: int) -> float:
    """Different at each position, for + and for -."""
    assert isinstance(sequence, list)
    return -1.0 - 0.01 * position if sequence[position] == PLUS else -2.0


@pytest.fixture(scope="session")
def reward_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random reward models over bytes, by head."""
    return {
        "sequence": make_reward_model(tmp_path_factory.mktemp("sequence")),
        "token": make_reward_model(tmp_path_factory.mktemp("token"), "token", 2, "qwen3", head_dim=8),
    }


@pytest.fixture(params=["transformers-sequence", "transformers-token", "marks-scripted", "marks-transformers"])
async def scorer(
    request: pytest.FixtureRequest, reward_folders: dict[str, Path], model_folder: Path
) -> AsyncIterator[TokenScorer]:
    """Each scorer in turn."""
    factories: dict[str, Callable[[], TokenScorer]] = {
        "transformers-sequence": lambda: load_scorer(str(reward_folders["sequence"])),
        "transformers-token": lambda: load_scorer(str(reward_folders["token"])),
        "marks-scripted": lambda: MarkScorer(ScriptedEngine(["ok"], token_logprob=scripted_logprob), PLUS, MINUS),
        "marks-transformers": lambda: MarkScorer(load(str(model_folder)), PLUS, MINUS),
    }
    scorer = factories[request.param]()
    yield scorer
    await scorer.close()


def counts(scorer: TokenScorer) -> bool:
    """It says how many tokens it read; the scripted engine reads none."""
    return not isinstance(scorer.tokenizer, ByteTokenizer)


def context_of(scorer: TokenScorer) -> int:
    assert scorer.capabilities.context_length is not None
    return scorer.capabilities.context_length


async def test_there_is_a_number_for_each_position(scorer: TokenScorer) -> None:
    chain = scorer.tokenizer.encode(PROMPT + "5")
    whole = list(range(len(chain)))
    values = await scorer.score([chain, chain, chain[:4]], [whole, [3, 9], []])
    assert [len(of) for of in values] == [len(chain), 2, 0]
    assert all(math.isfinite(value) for of in values for value in of)
    assert list(values[1]) == pytest.approx([values[0][3], values[0][9]], abs=1e-3)
    assert len({round(value, 3) for value in values[0]}) > 3


async def test_a_value_depends_on_what_stands_before_it_alone(scorer: TokenScorer) -> None:
    one, other = (scorer.tokenizer.encode(PROMPT + answer) for answer in ("5, of course", "5?"))
    at = len(scorer.tokenizer.encode(PROMPT + "5")) - 1
    ((first,), (second,)) = await scorer.score([one, other], [[at], [at]])
    assert first == pytest.approx(second, abs=1e-3)


async def test_positions_ascend_within_the_sequence(scorer: TokenScorer) -> None:
    for positions in ([3], [-1], [1, 0], [1, 1]):
        with pytest.raises(InvalidRequest, match="within 0 to 2"):
            await scorer.score([[65, 66, 67]], [positions])


async def test_a_sequence_longer_than_the_context_is_refused(scorer: TokenScorer) -> None:
    context = context_of(scorer)
    (value,) = await scorer.score([[65] * context], [[context - 1]])
    assert math.isfinite(*value)
    with pytest.raises(ContextOverflow, match=f"{context + 1} tokens.*holds {context}"):
        await scorer.score([[65] * (context + 1)], [[0]])


@pytest.mark.parametrize("length", [3, 10, 24])
async def test_scoring_step_by_step_reads_the_chain_about_once(scorer: TokenScorer, length: int) -> None:
    text = "So it is 2 + 3 = 5, then. "
    chain = scorer.tokenizer.encode(PROMPT)
    before = scorer.stats
    ends, values = list[int](), list[float]()
    for number in range(20):
        chain = chain + scorer.tokenizer.encode(f"{number}{text}")[: length - 1] + scorer.tokenizer.encode("\n")
        ends.append(len(chain) - 1)
        ((value,),) = await scorer.score([chain], [ends[-1:]])
        values.append(value)
    read = scorer.stats.prefill_tokens_total - before.prefill_tokens_total
    if counts(scorer):
        assert 0 < read <= 1.5 * len(chain)
    (whole,) = await scorer.score([chain], [ends])
    assert values == pytest.approx(list(whole), abs=1e-3)


async def test_concurrent_calls_get_their_own_values(scorer: TokenScorer) -> None:
    chains = [scorer.tokenizer.encode(f"{PROMPT}{answer} apples, so {answer}.") for answer in range(12)]
    positions = [[len(chain) // 2, len(chain) - 1] for chain in chains]
    together = await asyncio.gather(
        *(scorer.score([chain], [asked]) for chain, asked in zip(chains, positions, strict=True))
    )
    alone = await scorer.score(chains, positions)
    for (value,), expected in zip(together, alone, strict=True):
        assert list(value) == pytest.approx(list(expected), abs=1e-3)


async def test_what_is_read_is_counted(scorer: TokenScorer) -> None:
    chain = scorer.tokenizer.encode(f"What is read is counted. {PROMPT}")
    before = scorer.stats
    await scorer.score([chain], [[len(chain) - 1]])
    await scorer.score([[*chain, 65]], [[len(chain)]])
    after = scorer.stats
    if counts(scorer):
        assert after.prefill_tokens_total - before.prefill_tokens_total >= len(chain) + 1
        assert after.cached_tokens_total > before.cached_tokens_total
    assert after.generated_tokens_total == before.generated_tokens_total
    assert (after.running, after.waiting) == (0, 0)


async def test_a_closed_scorer_says_so(scorer: TokenScorer) -> None:
    assert scorer.failure is None
    await scorer.close()
    assert scorer.failure is not None
    with pytest.raises(EngineStopped):
        await scorer.score([[65, 66]], [[1]])
