"""Reads a dataset whole, so that what is wrong with it is told before a stage writes anything."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from deliberate.training.datasets.formats import Format, load_format
from deliberate.training.datasets.rows import Row
from deliberate.training.datasets.sources import BadData, Raw, raw_records
from deliberate.training.json_lines import BadLine

_MOST_SHOWN = 5

RowType = TypeVar("RowType", bound=Row)


class DatasetConfig(BaseModel):
    """One dataset of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(description="How lines are read: gsm8k, humaneval, math, trl, …")
    source: str = Field(description="A file, a folder, or hf:owner/name on the Hugging Face Hub.")
    name: str | None = Field(default=None, description="Configuration of a dataset of the Hub.")
    split: str | None = Field(default=None, description="Split of a dataset of the Hub or of save_to_disk.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a dataset of the Hub.")
    skip_bad: bool = Field(default=False, description="Leave out lines that cannot be read, and list them.")
    weight: float = Field(default=1.0, gt=0, description="Share of the rows in a mixture, relative to the others'.")


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was read."""

    config: DatasetConfig
    rows: tuple[Row, ...]
    bad: tuple[str, ...] = ()
    """Lines that were left out, each with its place and what is wrong with it."""

    def of(self, kind: type[RowType]) -> tuple[RowType, ...]:
        """The rows for a stage that needs that kind. Raises BadData when there are others."""
        fitting = tuple(row for row in self.rows if isinstance(row, kind))
        if len(fitting) < len(self.rows):
            other = next(row for row in self.rows if not isinstance(row, kind))
            raise BadData(
                f"{other.place} is a {type(other).__name__}, but this stage needs a {kind.__name__}; "
                f"give it other data than {self.config.format}."
            )
        return fitting


def read_dataset(config: DatasetConfig) -> Dataset:
    """All rows of a dataset.

    Raises UnknownName for a format that there is not, and BadData for a source that cannot be read, holds nothing, or
    has bad lines (unless they are skipped).
    """
    reading = _Reading(load_format(config.format))
    raws = raw_records(config.source, name=config.name, split=config.split, revision=config.revision)
    rows = tuple(row for raw in raws for row in reading.rows(raw))
    if reading.bad and not config.skip_bad:
        raise BadData(_refusal(reading.bad, config.format))
    if not rows:
        left_out = f", only {len(reading.bad)} lines that cannot be read" if reading.bad else ""
        raise BadData(f"{config.source} holds no rows{left_out}; write one JSON object on each line.")
    return Dataset(config, rows, tuple(reading.bad))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is known in the middle of a dataset."""

    format: Format
    places: dict[str, str] = field(default_factory=dict[str, str])
    """Of the rows so far, by id."""
    bad: list[str] = field(default_factory=list[str])

    def rows(self, raw: Raw) -> Iterator[Row]:
        """All rows of one line, or none where one of them is bad."""
        try:
            rows = list(self.format.rows(raw.record()))
            for row in rows:
                if row.id in self.places:
                    raise BadLine(
                        f"has the id {row.id!r} of {self.places[row.id]}; give each its own, or leave one out"
                    )
        except BadLine as error:
            self.bad.append(f"{raw.place} {error}")
            return
        self.places.update((row.id, row.place) for row in rows)
        yield from rows


def _refusal(bad: list[str], format_name: str) -> str:
    listed = "\n".join(bad[:_MOST_SHOWN])
    if len(bad) == 1:
        return f"{listed}.\nNothing was written. Mend the line, or leave it out with skip_bad."
    more = f"\n… and {len(bad) - _MOST_SHOWN} more" if len(bad) > _MOST_SHOWN else ""
    return (
        f"{listed}{more}.\n{len(bad)} lines cannot be read as {format_name}; nothing was written. "
        "Mend them, or leave them out with skip_bad."
    )
