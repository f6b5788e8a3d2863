"""The metrics of a run as TensorBoard events, beside its JSON lines: `tensorboard --logdir RUN`.

Needs the package tensorboard: `pip install 'deliberate[training]'`.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

_NOT_DRAWN = ("step", "max_steps")


class TensorBoardRecorder:
    """Writes each named value of a line as a scalar."""

    def __init__(self, writer: "SummaryWriter") -> None:
        self._writer = writer

    def add(self, line: Mapping[str, float | int]) -> None:
        """One line of metrics.jsonl."""
        for name, value in line.items():
            if name not in _NOT_DRAWN:
                self._writer.add_scalar(name, value, int(line["step"]))
        self._writer.flush()  # A killed run has told as much here as in its JSON lines.

    def close(self) -> None:
        self._writer.close()


def open_tensorboard(folder: Path, *, resumed_step: int) -> TensorBoardRecorder | None:
    """A recorder into `folder`; None, and a line in the log, where tensorboard is not installed.

    What earlier events say of steps after `resumed_step` is not shown any more.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        logger.warning("No TensorBoard events, only JSON lines: pip install 'deliberate[training]' for both.")
        return None
    return TensorBoardRecorder(SummaryWriter(str(folder), purge_step=resumed_step + 1))
