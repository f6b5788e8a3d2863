"""Keeps one of rows that say the same. Signs count, because 3 + 4 is not 3 - 4.

Near duplicates are pairs whose sets of n-grams have a Jaccard similarity of at least a threshold. They are found
exactly, by prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): with n-grams sorted by how rare they are,
two sets that similar share one among the first few of each, so only rows that do are compared.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from deliberate.training.datasets.ngrams import ngram_hashes
from deliberate.training.datasets.rows import Row

N = 5
_ROUNDING = 1e-9
_TOKEN = re.compile(r"\w+|[^\w\s]")

RowType = TypeVar("RowType", bound=Row)


def whole_text(row: Row) -> str:
    """Question and completions."""
    return "\n".join((row.question, *row.completions))


def deduplicated(rows: Iterable[RowType], text: Callable[[Row], str] = whole_text) -> tuple[RowType, ...]:
    """The first of all rows that differ in blanks only. By `text` questions alone may be compared."""
    first: dict[str, RowType] = {}
    for row in rows:
        first.setdefault(" ".join(unicodedata.normalize("NFC", text(row)).split()), row)
    return tuple(first.values())


def without_near_duplicates(
    rows: Sequence[RowType], threshold: float = 0.8, n: int = N, text: Callable[[Row], str] = whole_text
) -> tuple[RowType, ...]:
    """The rows that are not as similar as `threshold` to one that was kept before them. 0 < threshold <= 1."""
    kept, sets = list[RowType](), list[frozenset[int]]()
    by_ngram: defaultdict[int, list[int]] = defaultdict(list)
    for row, ngrams in zip(rows, _sorted_sets([_ngrams(text(row), n) for row in rows]), strict=True):
        prefix = ngrams[: len(ngrams) - math.ceil(threshold * len(ngrams) - _ROUNDING) + 1]
        whole = frozenset(ngrams)
        candidates = {other for ngram in prefix for other in by_ngram[ngram]}
        if any(_jaccard(whole, sets[other]) >= threshold for other in candidates):
            continue
        for ngram in prefix:
            by_ngram[ngram].append(len(sets))
        kept.append(row)
        sets.append(whole)
    return tuple(kept)


def similarity(one: str, other: str, n: int = N) -> float:
    """What two texts have in common: the Jaccard similarity of their sets of n-grams, from 0 to 1."""
    return _jaccard(frozenset(_ngrams(one, n)), frozenset(_ngrams(other, n)))


def _ngrams(text: str, n: int) -> set[int]:
    """Of words and signs; of a text with fewer than n of them, the whole."""
    tokens = _TOKEN.findall(text.casefold())
    return set(ngram_hashes(tokens, n)) or {hash(tuple(tokens))}


def _sorted_sets(sets: Sequence[set[int]]) -> list[list[int]]:
    """Each set's n-grams, the rarest first."""
    count = Counter(ngram for ngrams in sets for ngram in ngrams)
    return [sorted(ngrams, key=lambda ngram: (count[ngram], ngram)) for ngrams in sets]


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
