"""The problems of a stage: rows of datasets, or a task's own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deliberate.engines.errors import InvalidRequest
from deliberate.training.datasets.generated import problem_rows
from deliberate.training.datasets.loading import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import Row
from deliberate.training.datasets.sources import BadData
from deliberate.training.tasks import Split, load_task

_SYSTEM = ("system", "developer")
"""Roles of what opens a conversation."""


class TaskConfig(BaseModel):
    """Problems that a task makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the task.")
    count: int = Field(gt=0, description="How many to make; what is made twice counts once.")
    split: Split = Field(default="train", description="Side of the task's division: train or test.")
    seed: int = Field(default=0, description="Of the problems.")
    difficulty: tuple[int, ...] | None = Field(default=None, description="Those to draw from; None: the task's.")


def read_problems(datasets: Sequence[DatasetConfig], task: TaskConfig | None) -> tuple[Row, ...]:
    """All of them, in order, each with an id of its own.

    Raises BadData for what cannot be read and for an id that two rows have, InvalidRequest for a task that there is
    not or that lacks such problems.
    """
    read = (row for config in datasets for row in read_dataset(config).rows)
    return _with_own_ids(read) if task is None else tuple({row.id: row for row in _made(task)}.values())


def instructed(row: Row, system_prompt: str | None) -> Row:
    """The row with its conversation opened by the system prompt, where it has none of its own."""
    if system_prompt is None or any(message.get("role") in _SYSTEM for message in row.prompt):
        return row
    return replace(row, prompt=({"role": "system", "content": system_prompt}, *row.prompt))


def columns(row: Row) -> dict[str, Any]:
    """What verifiers may be filled with: the row's fields that it has."""
    fields = {
        "id": row.id,
        "question": row.question,
        "answer": row.answer,
        "solution": getattr(row, "solution", None),
        "tools": row.tools or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _made(task: TaskConfig) -> Iterable[Row]:
    try:
        return problem_rows(load_task(task.name).problems(task.split, task.seed, task.count, task.difficulty))
    except (LookupError, ValueError) as error:
        raise InvalidRequest(f"The task cannot make these problems: {error}", param="task") from error


def _with_own_ids(rows: Iterable[Row]) -> tuple[Row, ...]:
    found: dict[str, Row] = {}
    for row in rows:
        if row.id in found:
            raise BadData(
                f"{row.place} has the id {row.id!r} of {found[row.id].place}; give each its own. Nothing was written."
            )
        found[row.id] = row
    return tuple(found.values())
