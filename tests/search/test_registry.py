"""Strategies as requests name them."""

from typing import Any

import pytest

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.search.registry import STRATEGIES, parse_strategy
from deliberate.search.strategies.adaptive_vote import AdaptiveVote
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.search.strategies.majority_vote import MajorityVote
from deliberate.search.strategies.none import NoSearch
from deliberate.search.strategies.weighted_vote import WeightedVote
from deliberate.search.strategy import Strategy
from deliberate.verifiers.registry import parse_verifier


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", NoSearch()),
        ("vote-16", MajorityVote(n=16)),
        ("majority_vote", MajorityVote()),
        ("majority_vote-3", MajorityVote(n=3)),
        ("best-of", BestOfN()),
        ("best-of-4", BestOfN(n=4)),
        ("best-of-4@calculator", BestOfN(n=4, verifier=parse_verifier("calculator"))),
        ("weighted-vote-8@likelihood", WeightedVote(n=8, verifier=parse_verifier("likelihood"))),
        ("weighted_vote@likelihood", WeightedVote(verifier=parse_verifier("likelihood"))),
        ("adaptive-vote-32", AdaptiveVote(n=32)),
    ],
)
def test_short_names(text: str, expected: Strategy) -> None:
    assert parse_strategy(text) == expected


def test_a_config_with_everything() -> None:
    config = {"kind": "best_of_n", "n": 2, "verifier": [{"kind": "calculator", "weight": 2}, "likelihood"]}
    strategy = parse_strategy(config)
    assert isinstance(strategy, BestOfN)
    assert strategy.verifier is not None and strategy.verifier.kind == "ensemble"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bestof-4", "Unknown strategy 'bestof'; known: .*best-of.*Did you mean"),
        ("", "Unknown strategy ''"),
        ("best-of-4@oracle", "Unknown verifier 'oracle'; known: .*calculator"),
        ("best-of-0", "n: .*greater than or equal to 1 .got 0"),
        ("best-of-99999", "n: .*less than or equal to 1024 .got 99999"),
        ("best-of-99999999999999", "n: .*less than or equal to 1024"),
        ("none-4", "n: .*got 4"),
        ("vote-4@calculator", "verifier: Extra inputs"),
        ({"n": 4}, "needs a 'kind', one of: adaptive_vote"),
        ({"kind": "beem"}, "Unknown strategy 'beem'"),
        ({"kind": "majority_vote", "samples": 4}, "samples: Extra inputs are not permitted .got 4"),
        ({"kind": "best_of_n", "verifier": {"kind": "oracle"}}, "oracle"),
        ({"kind": "adaptive_vote", "threshold": float("nan")}, "threshold: .*nan"),
    ],
)
def test_mistakes_are_named(value: str | dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_strategy(value)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UnknownName) as caught:
        parse_strategy("guess-64")
    assert all(kind in str(caught.value) for kind in STRATEGIES)


@pytest.mark.parametrize("kind", sorted(STRATEGIES))
def test_every_field_is_described(kind: str) -> None:
    for name, schema in STRATEGIES[kind].model_json_schema()["properties"].items():
        assert name == "kind" or schema.get("description"), f"{kind}.{name} has no description"


@pytest.mark.parametrize("kind", sorted(STRATEGIES))
def test_configs_survive_the_wire(kind: str) -> None:
    strategy = parse_strategy(kind)
    assert parse_strategy(strategy.describe()) == strategy
