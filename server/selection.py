"""Which strategy a request runs: body, header, model suffix, `reasoning_effort`, server default, in this order."""

import json
from collections.abc import Mapping
from typing import Any, cast

from deliberate.engines.errors import InvalidRequest
from deliberate.search.registry import parse_strategy
from deliberate.search.strategies.majority_vote import MajorityVote
from deliberate.search.strategy import Strategy
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Effort, Settings

HEADER = "X-Deliberate-Strategy"
"""In requests: the strategy to run. In replies: the strategy that ran, in a form that requests may send."""

_LONGEST_HEADER = 2000


def read_strategy(text: str, param: str) -> Strategy:
    """A strategy from a header or setting: a short name, or JSON."""
    if not text.lstrip().startswith("{"):
        return parse_strategy(text.strip(), param)
    try:
        config = cast(dict[str, Any], json.loads(text))
    except ValueError as error:
        raise InvalidRequest(f"{param} is not valid JSON: {error}.", param=param) from error
    return parse_strategy(config, param)


def write_strategy(strategy: Strategy) -> str:
    """The strategy's shortest form that reads back as the same: `best-of-16@json`, or its JSON.

    One whose JSON is too long for a header is named without its options.
    """
    verifier = "" if strategy.verifier_config is None else f"@{strategy.verifier_config.kind}"
    size = "x".join(map(str, strategy.size))
    short = strategy.alias if strategy.kind == "none" else f"{strategy.alias}-{size}{verifier}"
    config = json.dumps(strategy.describe(), separators=(",", ":"))
    return short if _reads_as(short, strategy) or len(config) > _LONGEST_HEADER else config


def chosen_by_name(header: str | None, suffix: str | None) -> dict[str, Strategy]:
    """The strategies that a header's text and a model's suffix choose, by the name of the field."""
    chosen: dict[str, Strategy] = {}
    if header is not None:
        chosen[HEADER] = read_strategy(header, HEADER)
    if suffix is not None:
        chosen["model"] = parse_strategy(suffix, "model")
    return chosen


def _reads_as(short: str, strategy: Strategy) -> bool:
    try:
        return parse_strategy(short) == strategy
    except InvalidRequest:
        return False


class Selector:
    """Resolves strategies for one model. The operator's choices are checked when it is made."""

    def __init__(self, settings: Settings, model: ServedModel) -> None:
        self._default = read_strategy(settings.strategy, "strategy")
        if _lacks_verifier(self._default, model):
            raise InvalidRequest(
                f"The default strategy {settings.strategy!r} needs a verifier, and model {model.name!r} has none; "
                "name one, as in 'best-of-16@calculator', or configure a default verifier.",
                param="strategy",
            )
        self._by_effort: Mapping[Effort, Strategy] = {
            effort: _runnable(read_strategy(text, f"reasoning_effort[{effort}]"), model)
            for effort, text in settings.reasoning_effort.items()
        }

    def choose(
        self, body: Strategy | None, header: str | None, suffix: str | None, effort: Effort | None
    ) -> tuple[Strategy, str]:
        """The strategy, and the name of the field that chose it."""
        explicit = ({} if body is None else {"strategy": body}) | chosen_by_name(header, suffix)
        if explicit:
            return _agreed(explicit)
        if effort is not None:
            return self._of_effort(effort), "reasoning_effort"
        return self._default, "strategy"

    def _of_effort(self, effort: Effort) -> Strategy:
        if effort not in self._by_effort:
            raise InvalidRequest(
                f"reasoning_effort {effort!r} is not configured; known: {', '.join(self._by_effort)}.",
                param="reasoning_effort",
            )
        return self._by_effort[effort]


def _agreed(explicit: Mapping[str, Strategy]) -> tuple[Strategy, str]:
    (source, first), *others = explicit.items()
    for other_source, other in others:
        if other != first:
            raise InvalidRequest(
                f"Two different strategies were chosen: {write_strategy(first)!r} by {source} and "
                f"{write_strategy(other)!r} by {other_source}. Send one of them.",
                param=source,
            )
    return first, source


def _lacks_verifier(strategy: Strategy, model: ServedModel) -> bool:
    return strategy.needs is not None and strategy.verifier_config is None and model.default_verifier is None


def _runnable(strategy: Strategy, model: ServedModel) -> Strategy:
    """The strategy, or a majority vote of the same width where its verifier is missing."""
    return MajorityVote(n=strategy.slots) if _lacks_verifier(strategy, model) else strategy
