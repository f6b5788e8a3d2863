"""The thread that owns a model: calls go in, what they asked for comes out."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import torch

from deliberate.engines.errors import EngineStopped, InvalidRequest
from deliberate.engines.protocol import Delta, EngineStats
from deliberate.engines.transformers.scheduler import Scheduler
from deliberate.engines.transformers.work import Call, Prefill, Reading

_SEND_EVERY_S = 0.05
"""Deltas of a running call are sent at most this often: a person cannot tell, and the event loop stays free."""

T = TypeVar("T")

_Command = Callable[[Scheduler], None]


class ModelThread:
    """Runs a scheduler until it is closed; its methods are for callers on any event loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._inbox: SimpleQueue[_Command | None] = SimpleQueue()
        self._calls: set[Call] = set()
        self._failure: BaseException | None = None
        self._last_sent = time.monotonic()
        # A daemon, so that a program that forgot to close its engine can end.
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def stats(self) -> EngineStats:
        return self._scheduler.stats

    @property
    def failure(self) -> BaseException | None:
        """What ended it; None while it runs."""
        return self._failure

    def require_alive(self) -> None:
        """Raises EngineStopped."""
        if self._failure is not None:
            raise EngineStopped(f"The engine stopped: {self._failure!r}") from self._failure

    def open(self) -> Call:
        """A call, to be closed whatever happens."""
        call = Call()
        self._calls.add(call)
        return call

    def submit(self, work: Iterable[Prefill]) -> None:
        """Queue work; its results go to its calls."""
        self._inbox.put(lambda scheduler: scheduler.submit(work))

    async def result(self, call: Call, kind: type[T]) -> T:
        """The next thing delivered to a call. Raises EngineStopped."""
        # Once before, because a thread that has ended tells only the calls that it knew.
        self.require_alive()
        result = await call.result()
        self.require_alive()
        return result  # pyright: ignore[reportReturnType]

    def close_call(self, call: Call, unfinished: bool) -> None:
        """Forget a call, and drop what it still has to do."""
        self._calls.discard(call)
        if unfinished:
            self._inbox.put(lambda scheduler: scheduler.abort(call))

    async def read(self, sequences: Sequence[Sequence[int]], readings: Sequence[Reading]) -> list[Any]:
        """The values of each reading; sequences are read no further than their last wanted position."""
        call = self.open()
        work = [
            Prefill(call, tuple(tokens[: reading.positions[-1] + 1]), reading=reading)
            for tokens, reading in zip(sequences, readings, strict=True)
            if reading.positions
        ]
        self.submit(work)
        values: list[Any] = [()] * len(readings)
        unread = len(work)
        try:
            while unread:
                index, values_read = await self.result(call, tuple[int, tuple[Any, ...]])
                values[index] = values_read
                unread -= 1
        finally:
            self.close_call(call, unread > 0)
        return values

    async def when_idle(self, command: _Command) -> None:
        """Carry out a command on the thread, and wait for it. Raises InvalidRequest while anything runs, or from it."""
        done: Future[None] = Future()

        def obey(scheduler: Scheduler) -> None:
            try:
                if not scheduler.idle:
                    raise InvalidRequest("The engine is at work; wait until all samples have ended.")
                command(scheduler)
            except InvalidRequest as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self._inbox.put(obey)
        await asyncio.wrap_future(done)

    async def close(self) -> None:
        """Stop; calls that wait raise EngineStopped."""
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    # The thread's own side

    def _run(self) -> None:
        """The thread's boundary: whatever ends it becomes the failure that every caller is told."""
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001
            self._failure = error
        else:
            self._failure = EngineStopped("it was closed")
        Call.deliver([(call, None) for call in list(self._calls)])

    @torch.inference_mode()
    def _serve(self) -> None:
        while self._obey():
            if not self._scheduler.idle:
                self._scheduler.step()
                self._send()

    def _obey(self) -> bool:
        """Carry out what callers asked for, waiting for it when there is nothing else; False to stop."""
        block = self._scheduler.idle
        while True:
            try:
                command = self._inbox.get(block=block)
            except Empty:
                return True
            if command is None:
                return False
            command(self._scheduler)
            block = False

    def _send(self) -> None:
        """Deliver what finished, and from time to time what runs."""
        scheduler = self._scheduler
        outgoing, scheduler.finished = scheduler.finished, []
        results, scheduler.read = scheduler.read, []
        now = time.monotonic()
        if now - self._last_sent >= _SEND_EVERY_S:
            self._last_sent = now
            outgoing = outgoing + scheduler.running
        deltas: dict[Call, list[Delta]] = {}
        for sequence in outgoing:
            deltas.setdefault(sequence.call, []).append(sequence.take_delta())
        Call.deliver([*results, *deltas.items()])
