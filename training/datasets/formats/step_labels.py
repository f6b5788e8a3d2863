"""Our own JSON lines: a problem and solutions whose steps are labelled, as the stage `prm_labels` writes them.

    {"id": 1, "messages": […], "solutions": [{"steps": ["17 * 2 = 34", "34 + 1 = 36"],
     "hard_labels": [true, false], "soft_labels": [0.75, 0.0]}]}

Each solution is a row. A label is null where there is none; this format reads the hard ones, whether all is right so
far, and `soft_step_labels` the soft ones, the share of completions that end right. A solution without such labels
teaches nothing.
"""

from collections.abc import Iterator
from typing import Literal

from deliberate.training.datasets.formats._judging import messages, prompt, row_fields
from deliberate.training.datasets.records import Record, share
from deliberate.training.datasets.rows import StepwiseRow
from deliberate.training.json_lines import BadLine


class StepLabels:
    """What the stage `prm_labels` writes."""

    def __init__(self, name: str, field: Literal["hard_labels", "soft_labels"]) -> None:
        self.name = name
        self._field = field

    def rows(self, record: Record) -> Iterator[StepwiseRow]:
        asked = messages(record, "messages") if record.has("messages") else prompt(record)
        fields = row_fields(record)
        name = fields["id"]
        solutions = [] if record.value("solutions") == [] else record.objects("solutions")
        for number, solution in enumerate(solutions):
            steps, labels = solution.texts("steps"), self._labels(solution)
            if len(labels) != len(steps):
                raise BadLine(
                    f"has {len(labels)} {solution.path + self._field!r} for {len(steps)} steps; give each one, or null"
                )
            if any(label is not None for label in labels):
                fields["id"] = f"{name}#{number}"
                yield StepwiseRow(**fields, prompt=asked, steps=steps, labels=labels)

    def _labels(self, solution: Record) -> tuple[float | None, ...]:
        given = solution.items(self._field)
        labels = tuple(map(share, given))
        if any(label is None and value is not None for label, value in zip(labels, given, strict=True)):
            raise solution.wrong(self._field, "a list of true, false, numbers from 0 to 1, or null without a label")
        return labels


FORMAT = StepLabels("step_labels", "hard_labels")
