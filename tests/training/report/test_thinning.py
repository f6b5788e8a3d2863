"""Thinned curves keep what stands out."""

from hypothesis import given
from hypothesis import strategies as st

from deliberate.training.report.thinning import means, thinned


@given(st.lists(st.floats(-1e9, 1e9), min_size=41, max_size=400))
def test_first_last_lowest_and_highest_points_stay(values: list[float]) -> None:
    kept = thinned(values, stretches=10)
    assert len(kept) <= 40 and kept == sorted(set(kept))
    assert kept[0] == 0 and kept[-1] == len(values) - 1
    shown = [values[at] for at in kept]
    assert min(shown) == min(values) and max(shown) == max(values)


@given(st.lists(st.floats(-1e9, 1e9), max_size=40))
def test_short_curves_are_left_as_they_are(values: list[float]) -> None:
    assert thinned(values, stretches=10) == list(range(len(values)))


def test_every_spike_of_a_long_curve_stays() -> None:
    values = [0.0] * 100_000
    spikes = {317: 9.0, 50_000: -4.0, 99_998: 2.0}
    for at, value in spikes.items():
        values[at] = value
    kept = thinned(values)
    assert len(kept) <= 1_200
    assert spikes.keys() <= set(kept)


def test_means_are_of_all_points() -> None:
    assert means([1.0, 3.0, 5.0, 100.0], stretches=2) == [(0, 2.0), (2, 52.5)]
