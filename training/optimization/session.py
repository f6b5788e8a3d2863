"""A command that trains in a folder: it alone, with the processes that were started for it."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext

import torch

from deliberate.training.optimization import processes
from deliberate.training.optimization.config import OptimizationConfig
from deliberate.training.run_folder import locked


@contextmanager
def session(config: OptimizationConfig) -> Generator[None, None, None]:
    """Hold the run's folder, from the look whether it had finished to its record.

    Raises OtherRun where another command is at work in it.
    """
    torch.set_num_threads(config.num_threads)
    with locked(config.output_dir) if processes.is_main() else nullcontext():
        yield
