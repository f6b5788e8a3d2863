"""What a measurement found, as a file."""

import json
from collections.abc import Mapping
from pathlib import Path


def save_figures(figures: Mapping[str, object], path: Path | None) -> None:
    """Write them as JSON; nothing for None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
