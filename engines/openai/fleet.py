"""All upstreams of one model: a place for each request, and what they did so far."""

import math
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from deliberate.engines.errors import DeliberateError, EngineStopped, Overloaded
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.health import LONGEST_SECONDS, HealthChecks
from deliberate.engines.openai.options import UpstreamOptions
from deliberate.engines.openai.routing import Path, Router
from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.openai.usage import Usage
from deliberate.engines.protocol import Delta, EngineStats


@dataclass(slots=True)
class Counters:
    """Counted as the protocol's EngineStats says."""

    running: int = 0
    waiting: int = 0
    prefill_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0

    def read(self, usage: Usage | None, prompt_tokens: int) -> None:
        """A prompt went through the model. Without a usage all of it counts, as where it tells no cached tokens."""
        cached = 0 if usage is None else usage.cached_tokens
        self.cached_tokens += cached
        self.prefill_tokens += (prompt_tokens if usage is None else usage.prompt_tokens) - cached


@dataclass(slots=True)
class Lease:
    """A request's place at an upstream."""

    upstream: Upstream
    counters: Counters
    samples: int
    """That have not ended."""
    slots: int

    def passes(self, delta: Delta) -> Delta:
        """Count what passes."""
        self.counters.generated_tokens += len(delta.token_ids) + delta.unseen_tokens
        if delta.finish is not None:
            self.release(1)
        return delta

    def release(self, samples: int) -> None:
        """So many of its samples ended; the last ones may hold no slot where there were fewer slots than samples."""
        self.samples -= samples
        self.counters.running -= samples
        self.upstream.in_flight -= samples
        freed = max(0, self.slots - self.samples)
        self.slots -= freed
        self.upstream.slots.give(freed)


@dataclass(slots=True)
class Fleet:
    """Replicas of one model, watched for their health. Made by `connect`."""

    upstreams: tuple[Upstream, ...]
    health: HealthChecks
    router: Router
    counters: Counters = field(default_factory=Counters)
    closed: bool = False

    @classmethod
    def of(cls, addresses: Mapping[Address, bool], options: UpstreamOptions, *, vllm: bool) -> "Fleet":
        """From addresses and whether they answered."""
        tls = httpx.create_ssl_context()
        upstreams = tuple(Upstream(address, options, tls, healthy=up) for address, up in addresses.items())
        return cls(upstreams, HealthChecks(upstreams, options, vllm=vllm), Router(upstreams))

    @property
    def failure(self) -> DeliberateError | None:
        """Of the protocol's Engine."""
        if self.closed:
            return EngineStopped("The engine is closed.")
        if not any(upstream.healthy for upstream in self.upstreams):
            addresses = ", ".join(str(upstream.address) for upstream in self.upstreams)
            return Overloaded(f"No upstream can be reached at {addresses}.", retry_after=math.ceil(LONGEST_SECONDS))
        return None

    @property
    def stats(self) -> EngineStats:
        """Of the protocol's Engine."""
        counters = self.counters
        return EngineStats(
            running=counters.running,
            waiting=counters.waiting,
            prefill_tokens_total=counters.prefill_tokens,
            cached_tokens_total=counters.cached_tokens,
            generated_tokens_total=counters.generated_tokens,
        )

    def require_open(self) -> None:
        """Raises EngineStopped after `close`."""
        if self.closed:
            raise EngineStopped("The engine is closed.")

    @asynccontextmanager
    async def lease(self, path: Path, samples: int, avoid: Collection[Upstream]) -> AsyncGenerator[Lease, None]:
        """Wait for a place for so many samples. Raises EngineStopped, or Overloaded where no upstream is up."""
        self.require_open()
        upstream = self.router.choose(path, avoid)
        if upstream is None:
            raise self.failure or Overloaded("The upstreams come and go.", retry_after=1)
        lease = Lease(upstream, self.counters, samples, 0)
        upstream.in_flight += samples
        self.counters.waiting += samples
        try:
            lease.slots = await upstream.slots.take(samples)
        except BaseException:
            upstream.in_flight -= samples
            raise
        finally:
            self.counters.waiting -= samples
        self.counters.running += samples
        try:
            yield lease
        finally:
            lease.release(lease.samples)

    async def close(self) -> None:
        """Break all requests off."""
        self.closed = True
        self.health.close()
        for upstream in self.upstreams:
            await upstream.close()
