"""The prefix cache by itself: what it gives back belongs to exactly these tokens."""

import random
from collections.abc import Sequence

import pytest
import torch

from deliberate.engines.transformers.kv_rows import KVRows
from deliberate.engines.transformers.prefix_cache import BLOCK, PrefixCache


def rows_of(tokens: Sequence[int]) -> KVRows:
    """A row whose column t says which tokens stand up to t."""
    rows = KVRows()
    rows.reserve(1, len(tokens))
    rows.begin(torch.arange(len(tokens)).unsqueeze(0), len(tokens))
    prefixes = [float(hash(tuple(tokens[: t + 1])) % 2**20) for t in range(len(tokens))]
    values = torch.tensor(prefixes).reshape(1, 1, -1, 1).expand(1, 2, -1, 3)
    rows.update(values, -values, 0)
    return rows


def check_load(cache: PrefixCache, tokens: Sequence[int], limit: int) -> int:
    """How many tokens the cache knew; their columns must be right."""
    got, expected = rows_of([-1] * len(tokens)), rows_of(tokens)
    length = cache.load(tokens, limit, got, 0)
    assert 0 <= length <= limit
    for mine, right in zip(got.tensors(), expected.tensors(), strict=True):
        assert torch.equal(mine[0, :, :length], right[0, :, :length])
    return length


@pytest.mark.parametrize("length", [1, 15, 16, 17, 40])
def test_everything_stored_is_found_in_what_extends_it(length: int) -> None:
    cache = PrefixCache(64)
    tokens = list(range(length + 1))
    cache.store(tokens, length, rows_of(tokens), 0)
    assert check_load(cache, [*range(length), 99, 98], length + 2) == length


def test_a_last_block_is_not_used_beyond_the_limit_or_for_other_tokens() -> None:
    cache = PrefixCache(64)
    tokens = list(range(20))
    cache.store(tokens, 20, rows_of(tokens), 0)
    assert check_load(cache, tokens, 19) == BLOCK
    assert check_load(cache, [*range(19), 99, 98], 21) == BLOCK


def test_the_longest_last_block_is_used() -> None:
    cache = PrefixCache(64)
    for length in (3, 7, 5):
        cache.store(range(length), length, rows_of(range(length)), 0)
    assert [check_load(cache, range(9), limit) for limit in (9, 6, 4)] == [7, 5, 3]


def test_random_chains_through_a_small_cache_are_never_mixed_up() -> None:
    draw = random.Random(0)
    cache = PrefixCache(8 * BLOCK)
    chains: list[list[int]] = [[]]
    found = 0
    for _ in range(400):
        chain = [*draw.choice(chains[-12:]), *(draw.randrange(2) for _ in range(draw.randrange(1, 25)))]
        chain = chain[:150]
        found += check_load(cache, chain, draw.randrange(len(chain) + 1))
        cache.store(chain, len(chain), rows_of(chain), 0)
        chains.append(chain if len(chain) < 150 else [])
    assert found > 4000
