"""How a search says that nothing came of it."""

from collections.abc import Sequence

from deliberate.engines.errors import SearchFailed
from deliberate.search.events import Failed


def every_sample_failed(failures: Sequence[Failed]) -> SearchFailed:
    """The error of a search none of whose candidates came to an end."""
    details = sorted({failure.detail for failure in failures})
    return SearchFailed(f"All {len(failures)} samples failed: {'; '.join(details)}")
