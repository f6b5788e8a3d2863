"""Watches upstreams from threads, so that no event loop has to turn for one to come back."""

import contextlib
from threading import Event, Thread

import httpx

from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.openai.upstream import CONNECT_SECONDS, Upstream, bearer

INTERVAL_SECONDS = 5.0
"""Between the probes of an upstream that answers."""
_SHORTEST_SECONDS = 0.25
LONGEST_SECONDS = 4.0
"""Between the probes of one that does not: they start close together and double up to this."""
_MISSES = 2
"""Failed probes in a row that eject an upstream; one failed connection of a request does so too."""


class HealthChecks:
    """One daemon thread per upstream, until `close`."""

    def __init__(self, upstreams: tuple[Upstream, ...], options: UpstreamOptions, *, vllm: bool) -> None:
        self._closed = Event()
        self._options = options
        self._upstreams = upstreams
        for upstream in upstreams:
            url = upstream.address.beside("/health") if vllm else upstream.address.models
            Thread(target=self._watch, args=(upstream, url), name=f"health of {upstream.address}", daemon=True).start()

    def close(self) -> None:
        """End the threads, which takes them up to one probe."""
        self._closed.set()
        for upstream in self._upstreams:
            upstream.suspected.set()

    def _watch(self, upstream: Upstream, url: str) -> None:
        misses = 0
        with httpx.Client(timeout=CONNECT_SECONDS, headers=bearer(self._options)) as client:
            while not self._closed.is_set():
                upstream.suspected.wait(_pause(misses))
                upstream.suspected.clear()
                misses = 0 if _answers(client, url) else misses + 1
                upstream.healthy = misses == 0 or (upstream.healthy and misses < _MISSES)


def _pause(misses: int) -> float:
    return INTERVAL_SECONDS if not misses else min(LONGEST_SECONDS, _SHORTEST_SECONDS * 2 ** (misses - 1))


def _answers(client: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get(url).is_success
    return False
