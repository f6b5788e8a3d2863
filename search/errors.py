"""How a search says that nothing came of it."""

from collections.abc import Sequence

from deliberate.engines.errors import SearchFailed
from deliberate.search.events import Failed


def every_sample_failed(failures: Sequence[Failed], reason: str = "it drew no samples") -> SearchFailed:
    """The error of a search none of whose candidates came to an end; `reason` says why where none failed either."""
    if not failures:
        return SearchFailed(f"The search has no answer: {reason}.")
    details = sorted({failure.detail for failure in failures})
    return SearchFailed(f"All {len(failures)} samples failed: {'; '.join(details)}")
