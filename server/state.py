"""What all requests of one server share."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from deliberate.server.admission import Admission
from deliberate.server.metrics import Metrics
from deliberate.server.selection import Selector
from deliberate.server.serving import Pool
from deliberate.server.settings import Settings
from deliberate.server.traces import Traces


@dataclass(frozen=True, slots=True)
class Server:
    """Settings, models, counters and traces."""

    settings: Settings
    pool: Pool
    selectors: Mapping[str, Selector]
    """By model."""
    admission: Admission
    metrics: Metrics
    traces: Traces

    @classmethod
    def of(cls, settings: Settings, pool: Pool) -> "Server":
        """Raises InvalidRequest when the configured strategies cannot run."""
        admission = Admission(settings.queue_limit, settings.max_candidates, settings.retry_after_seconds)
        selectors = {name: Selector(settings, model) for name, model in pool.models.items()}
        return cls(settings, pool, selectors, admission, Metrics(pool, admission), Traces(settings))


def server_of(request: Request) -> Server:
    """FastAPI dependency."""
    return request.app.state.server
