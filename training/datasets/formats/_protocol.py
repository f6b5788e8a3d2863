"""What a format is: how one line becomes rows."""

from collections.abc import Iterable
from typing import Protocol

from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import Row


class Format(Protocol):
    """One module of `formats`, exposing it as `FORMAT`, is one format."""

    @property
    def name(self) -> str:
        """The module's name, by which `load_format` finds it."""
        ...

    def rows(self, record: Record) -> Iterable[Row]:
        """What a line teaches; none where it is sound but teaches nothing. Raises BadLine."""
        ...
