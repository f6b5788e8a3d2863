"""Words and n-grams of texts."""

import re
import unicodedata

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text without punctuation, case and spellings of the same character (NFKC)."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def ngram_hashes(tokens: list[str], n: int) -> list[int]:
    """A hash of each n-gram, in order, for use within one process; none of fewer than n tokens."""
    return list(map(hash, zip(*(tokens[start:] for start in range(n)), strict=False)))
