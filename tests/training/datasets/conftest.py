import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deliberate.training.datasets import Dataset, DatasetConfig, read_dataset

Reader = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Writes a file and reads it: objects as JSON lines, bytes as they are."""

    def read(format_name: str, *lines: Any, file: str = "data.jsonl", **options: Any) -> Dataset:
        path = tmp_path / file
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        )
        return read_dataset(DatasetConfig(format=format_name, source=str(path), **options))

    return read
