"""What a request may spend: what it asks for, its client's patience and the server's ceilings, which must agree."""

from math import isfinite

from deliberate.engines.errors import InvalidRequest
from deliberate.search.budget import Limits
from deliberate.server.bodies import RequestModel
from deliberate.server.settings import Settings

_MARGIN = 0.1
"""Share of the client's patience that is kept for the way back."""
_LONGEST_MARGIN_SECONDS = 2.0


class RequestBudget(RequestModel, Limits):
    """Where a search ends at the latest. The best answer until then is the reply, which says what ended it."""


def limits_for(asked: Limits | None, patience: float | None, settings: Settings) -> Limits:
    """The request's own limits, else the server's; a client's patience may shorten the time.

    Raises InvalidRequest for a limit above the server's.
    """
    asked = asked or Limits()
    _check_ceiling("max_candidates", asked.max_candidates, settings.max_candidates)
    _check_ceiling("max_tokens_total", asked.max_tokens_total, settings.max_tokens_total)
    _check_ceiling("deadline_s", asked.deadline_s, settings.longest_deadline)
    deadlines = [asked.deadline_s or settings.deadline_seconds, patience]
    return Limits(
        max_candidates=asked.max_candidates or settings.max_candidates,
        max_tokens_total=asked.max_tokens_total or settings.max_tokens_total,
        deadline_s=min(filter(None, deadlines), default=None),
    )


def patience_of(read_timeout: str | None) -> float | None:
    """Seconds to answer in, for a client that waits for so long; None where it does not say."""
    try:
        seconds = float(read_timeout or "")
    except ValueError:
        return None
    if not isfinite(seconds) or seconds <= 0:
        return None
    return seconds - min(_MARGIN * seconds, _LONGEST_MARGIN_SECONDS)


def check_agreement(asked: Limits, least: int, what: str, max_tokens: int | None) -> None:
    """Refuse limits that contradict the rest of their request, which has at least `least` candidates.

    `what` says why it does; `max_tokens` is what the request allows one candidate.
    """
    for name, needed in (("max_candidates", ""), ("max_tokens_total", "a token for each of ")):
        limit = getattr(asked, name)
        if limit is not None and limit < least:
            raise InvalidRequest(
                f"budget.{name} = {limit} is less than {needed}the {least} candidates of {what}. "
                "Ask for fewer, or allow more.",
                param=f"budget.{name}",
            )
    total = asked.max_tokens_total
    if total is not None and max_tokens is not None and max_tokens > total:
        raise InvalidRequest(
            f"budget.max_tokens_total = {total} is less than max_tokens = {max_tokens}, which one candidate may use. "
            "Lower max_tokens, or allow more.",
            param="budget.max_tokens_total",
        )


def _check_ceiling(name: str, value: float | None, ceiling: float | None) -> None:
    if value is not None and ceiling is not None and value > ceiling:
        raise InvalidRequest(
            f"budget.{name} = {value} is above this server's ceiling of {ceiling}.", param=f"budget.{name}"
        )
