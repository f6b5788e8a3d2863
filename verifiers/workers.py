"""Processes for work that may hang or eat memory: each job has a time limit, at which its process is killed."""

import asyncio
import multiprocessing
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

P = ParamSpec("P")
T = TypeVar("T")

MEMORY_BYTES = 2 << 30
"""Address space of one worker; beyond it a job fails with MemoryError."""
PRELOAD = ("deliberate.verifiers._warm_math", "deliberate.verifiers.agentjo.checking")
"""Imported once, by the process that workers are forked from, so that no job waits for them."""


class WorkerLost(Exception):
    """The worker died under the job (a crash, the kernel's out-of-memory killer): the job has no result."""


class WorkerPool:
    """A pool of processes, started on first use; a killed process is replaced.

    Functions and arguments must be picklable, and functions importable from a module. Jobs beyond the number of
    processes wait; waiting does not count against their time limit. A cancelled caller frees its worker.
    As with every `multiprocessing` program, a script that starts a pool keeps its own work under
    `if __name__ == "__main__"`: the workers import the main module.
    """

    def __init__(self, processes: int = 2) -> None:
        self._processes = processes
        self._starting = threading.Lock()
        self._pool: ProcessPool | None = None
        self._closed = False

    async def run(self, timeout_s: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, from another process, within `timeout_s` seconds of its start there.

        Raises TimeoutError when the job was killed at the limit, WorkerLost when its process died, and whatever
        the function raises.
        """
        # The first start waits about a second for the imports, which must not be the event loop's second.
        pool = await asyncio.to_thread(self._started)
        try:
            future: Future[T] = pool.schedule(function, args=list(args), kwargs=dict(kwargs), timeout=timeout_s)
        except RuntimeError as error:
            raise WorkerLost("the worker processes stopped") from error
        try:
            return await asyncio.wrap_future(future)
        except (ProcessExpired, BrokenProcessPool) as error:
            raise WorkerLost("the worker process died") from error

    def close(self) -> None:
        """Kill what still runs."""
        with self._starting:
            self._closed = True
            if self._pool is not None:
                self._pool.stop()
                self._pool.join()

    def _started(self) -> ProcessPool:
        with self._starting:
            if self._closed:
                raise WorkerLost("the worker processes are stopped")
            # pebble gives up for good when an idle worker dies, so that pool is thrown away.
            if self._pool is None or not self._pool.active:
                self._pool = _start(self._processes)
            return self._pool


def _start(processes: int) -> ProcessPool:
    # Not fork: the parent holds torch's and the server's threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    pool = ProcessPool(max_workers=processes, initializer=_confine, context=context)
    if not pool.active:  # Asking starts it.
        raise WorkerLost("no worker process could be started")
    return pool


def _confine() -> None:
    """Runs first in each worker."""
    # pebble's own handler for the kill waits for the next byte code, which one huge power never reaches.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":  # Elsewhere the address space cannot be limited.
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
