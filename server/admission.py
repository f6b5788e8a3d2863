"""Admission: who may start a search now. Who runs first among the admitted is the engine's business."""

from collections.abc import Generator
from contextlib import contextmanager

from deliberate.engines.errors import InvalidRequest, Overloaded


class Admission:
    """Counts slots: a search of width N holds N of them until it ends."""

    def __init__(self, queue_limit: int, max_width: int, retry_after: int) -> None:
        self._limit = queue_limit
        self._max_width = min(max_width, queue_limit)
        self._retry_after = retry_after
        self.slots_in_use = 0
        self.requests = 0

    def check_width(self, width: int, param: str) -> None:
        """Raises InvalidRequest for a search that this server would never admit."""
        if width > self._max_width:
            raise InvalidRequest(
                f"{width} candidates were asked for; this server allows at most {self._max_width} per request.",
                param=param,
            )

    @contextmanager
    def slots(self, width: int) -> Generator[None]:
        """Hold `width` slots. Raises Overloaded when they are not free."""
        if self.slots_in_use + width > self._limit:
            raise Overloaded(
                f"The server is busy: {self.slots_in_use} of {self._limit} candidates are queued or running "
                f"and this request needs {width}. Try again in {self._retry_after} s.",
                retry_after=self._retry_after,
            )
        self.slots_in_use += width
        self.requests += 1
        try:
            yield
        finally:
            self.slots_in_use -= width
            self.requests -= 1
