"""F1 as ProcessBench has it."""

import pytest

from deliberate.training.labelling.agreement import FirstErrors


def test_f1_is_the_harmonic_mean_of_both_shares() -> None:
    found = FirstErrors.of([(1, 1), (2, 3), (0, None), (4, 4), (None, None), (None, 2)])
    assert (found.wrong, found.right, found.solutions) == (0.5, 0.5, 6)
    assert found.f1 == 0.5
    assert FirstErrors.of([(1, 1), (None, None), (None, 0), (None, 0)]).f1 == pytest.approx(0.5)
    assert FirstErrors.of([(1, None), (None, 0)]).f1 == 0.0


def test_without_one_kind_of_solutions_there_is_none() -> None:
    with pytest.raises(ValueError, match="with errors and without"):
        FirstErrors.of([(1, 1)])
