"""Datasets: files of others, read into typed rows that stages train on.

`formats/` holds one file per format. What is wrong with data is told with file, line and what to do, before anything
is written.
"""

from deliberate.training.datasets.formats import format_names
from deliberate.training.datasets.loading import Dataset, DatasetConfig, read_dataset
from deliberate.training.datasets.rows import (
    PreferenceRow,
    ProblemRow,
    RolloutRow,
    Row,
    Sample,
    StepwiseRow,
    UnpairedRow,
)
from deliberate.training.datasets.sources import BadData

__all__ = [
    "BadData",
    "Dataset",
    "DatasetConfig",
    "PreferenceRow",
    "ProblemRow",
    "RolloutRow",
    "Row",
    "Sample",
    "StepwiseRow",
    "UnpairedRow",
    "format_names",
    "read_dataset",
]
