import pytest

from deliberate.verifiers.aggregate import Aggregation, aggregate


@pytest.mark.parametrize(
    ("rule", "score"), [("last", 0.5), ("min", 0.25), ("prod", 0.125), ("mean", 1.75 / 3), ("max", 1.0)]
)
def test_aggregations(rule: Aggregation, score: float) -> None:
    assert aggregate(rule, (1.0, 0.25, 0.5)) == pytest.approx(score)
