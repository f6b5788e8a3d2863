"""Fixtures. They import the project late, so that `test_openai_client.py` also runs where it is not installed."""

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .support import Live


@pytest.fixture
def server() -> "Generator[Live, None, None]":
    """A server with one model `tiny`, which says `support.CANDIDATES` in turn."""
    from .support import live

    with live() as usual:
        yield usual
