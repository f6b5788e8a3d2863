"""Formats of datasets.

A newcomer adds a format by adding one module here whose `FORMAT` satisfies the `Format` protocol. Modules whose names
begin with an underscore are not formats.
"""

from deliberate.training.datasets.formats._protocol import Format
from deliberate.training.datasets.formats._registry import format_names, load_format

__all__ = ["Format", "format_names", "load_format"]
