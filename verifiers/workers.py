"""Processes for work that may hang or eat memory: each job has a time limit, at which its process is killed."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from pebble import ProcessPool

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """A pool of processes, started on first use; a killed process is replaced.

    Functions and arguments must be picklable. `run` raises TimeoutError when the job was killed.
    """

    def __init__(self, processes: int = 2) -> None:
        # Not fork: the parent holds torch's and the server's threads.
        context = multiprocessing.get_context("forkserver")
        self._pool = ProcessPool(max_workers=processes, context=context)

    async def run(self, timeout_s: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, from another process, within `timeout_s` seconds of its start there."""
        future: Future[T] = self._pool.schedule(function, args=list(args), kwargs=dict(kwargs), timeout=timeout_s)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Kill what still runs."""
        self._pool.stop()
        self._pool.join()
