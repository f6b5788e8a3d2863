"""What rollouts, and labels of their steps, write down while they go."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deliberate.training.data_run import DATA, Clock
from deliberate.training.datasets.appending import AppendedLines, encoded, whole_file
from deliberate.training.datasets.rows import Row
from deliberate.training.datasets.sources import BadData
from deliberate.training.json_lines import BadLine
from deliberate.training.recording.metrics import MetricsLog, Reporter
from deliberate.training.recording.tensorboard import open_tensorboard
from deliberate.training.sampling.totals import RolloutTotals

REFUSED = "refused.jsonl"
"""Problems that the engine refused, where they are left out: id, place and reason."""


class Totals(Protocol):
    """Counts lines of data; in whatever order, with the same result."""

    completion_tokens: int

    def add(self, line: Mapping[str, Any]) -> None: ...

    def values(self, line: Mapping[str, Any]) -> dict[str, float]:
        """Of one line, for the metrics."""
        ...

    def metrics(self) -> dict[str, float]:
        """For the artifact."""
        ...


class Book:
    """What is written down: the problems that are done, the figures, and what was refused."""

    def __init__(
        self,
        folder: Path,
        rows: Sequence[Row],
        report: Reporter,
        *,
        logging_steps: int,
        tensorboard: bool = False,
        totals: Totals | None = None,
    ) -> None:
        """Go on with the data of the folder; without `totals`, of rollouts.

        Raises BadData where it has other problems than the rows.
        """
        self.folder = folder
        self.totals: Totals = RolloutTotals() if totals is None else totals
        self._rows = {row.id: row for row in rows}
        self._refused: list[dict[str, str]] = []
        self._lines = AppendedLines(self.folder / DATA, self._known)
        self._board = open_tensorboard(folder, resumed_step=len(self._lines.ids)) if tensorboard else None
        self._log = MetricsLog(
            self.folder,
            resumed_step=len(self._lines.ids),
            resumed_tokens=self.totals.completion_tokens,
            interval=logging_steps,
            max_steps=len(rows),
            watcher=report,
            recorders=() if self._board is None else (self._board,),
        )
        self._clock = Clock(self.folder)

    @property
    def left(self) -> Iterator[Row]:
        """The problems that are not done."""
        done = self._lines.ids
        return (row for name, row in self._rows.items() if name not in done)

    @property
    def seconds(self) -> float:
        """Since the run began, over all its sessions."""
        return self._clock.seconds

    @property
    def refused(self) -> int:
        """How many problems are left out."""
        return len(self._refused)

    def add(self, line: Mapping[str, Any]) -> None:
        """A problem is done."""
        self._lines.append(line)
        self.totals.add(line)
        self._tell(self.totals.values(line))

    def refuse(self, row: Row, reason: str) -> None:
        """A problem is left out."""
        self._refused.append({"id": row.id, "place": row.place, "reason": reason})
        self._tell({})

    def finish(self) -> None:
        """Put the data in order, and list what was left out."""
        if not self._lines.ids:
            raise BadData(f"The engine refused all {self.refused} problems: {self._refused[0]['reason']}")
        self._lines.finish(self._rows)
        if self._refused:
            with whole_file(self.folder / REFUSED) as file:
                file.writelines(map(encoded, sorted(self._refused, key=lambda refused: refused["id"])))

    def close(self) -> None:
        self._lines.close()
        if self._board is not None:
            self._board.close()

    def _tell(self, values: Mapping[str, float]) -> None:
        step = len(self._lines.ids) + self.refused
        self._log.add(values, step=step, tokens=self.totals.completion_tokens, seconds=self.seconds)

    def _known(self, line: Mapping[str, Any]) -> None:
        """Raises BadLine for a line of another run."""
        row = self._rows.get(line["id"])
        if row is None:
            raise BadLine(f"is of the problem {line['id']!r}, which the data does not have")
        if line.get("messages") != json.loads(encoded({"prompt": row.prompt}))["prompt"]:
            raise BadLine(f"asks something else than the problem {line['id']!r} of the data")
        self.totals.add(line)
