"""From verdicts to advantages, by hand."""

from collections.abc import Sequence

import pytest
import torch

from deliberate.training.objectives.advantages import group_advantages
from deliberate.training.policy_optimization.credit import outcome_advantages, process_advantages
from deliberate.training.policy_optimization.rewards import StepRewards, step_rewards
from deliberate.verifiers.protocol import Verdict
from deliberate.verifiers.steps import Step


def test_each_token_gets_the_steps_that_end_at_it_or_later() -> None:
    """DeepSeekMath, section 4.1.3. The rewards 1, 0, 1, 1 have the mean 3/4 and the deviation 1/2 (n - 1)."""
    group = [StepRewards((1, 3), (1.0, 0.0)), StepRewards((0, 2), (1.0, 1.0))]
    advantages, decided = process_advantages([group], tokens=5)
    good, bad = 0.25 / 0.5001, -0.75 / 0.5001
    expected = torch.tensor([[good + bad, good + bad, bad, bad, 0], [2 * good, good, good, 0, 0]])
    torch.testing.assert_close(advantages, expected)
    assert decided.tolist() == [True, True]


def test_groups_of_different_sizes_stand_in_a_row() -> None:
    groups = [[StepRewards((0,), (1.0,))], [StepRewards((1,), (1.0,)), StepRewards((), ()), StepRewards((0,), (0.0,))]]
    advantages, decided = process_advantages(groups, tokens=2)
    assert advantages.shape == (4, 2)
    assert advantages[0].tolist() == [0, 0], "a group whose steps are all equal"
    assert advantages[1, 0] == advantages[1, 1] > 0 > advantages[3, 0]
    assert decided.tolist() == [True, True, False, True]


def test_what_is_undecided_has_no_part_in_the_group() -> None:
    groups: Sequence[Sequence[float | None]] = [[1.0, None, 0.0], [0.5, 0.5], [None, None]]
    advantages, decided = outcome_advantages(groups, group_advantages)
    right = 0.5 / (0.5**0.5 + 1e-4)
    assert advantages.flatten().tolist() == pytest.approx([right, 0, -right, 0, 0, 0, 0])
    assert decided.tolist() == [True, False, True, True, True, False, False]


STEPS = [Step(True, [0, 1]), Step(True, [2]), Step(False, [3, 4])]


def verdict(*steps: float) -> Verdict:
    return Verdict(0.5, steps=steps)


def test_scores_stand_where_steps_end() -> None:
    assert step_rewards(STEPS, verdict(1, 0, 1)) == StepRewards((1, 2, 4), (1, 0, 1))


def test_a_step_that_is_not_finished_may_have_no_score() -> None:
    assert step_rewards(STEPS, verdict(1, 0)) == StepRewards((1, 2, 4), (1, 0, None))


def test_a_verifier_that_splits_differently_has_decided_nothing() -> None:
    assert step_rewards(STEPS, verdict(1, 0, 1, 1)).rewards == (None, None, None)
    assert step_rewards(STEPS, Verdict.undecided("it was away")).rewards == (None, None, None)


def test_of_steps_that_share_their_end_the_worst_counts() -> None:
    shared = [Step(True, [0, 1]), Step(True, [1])]
    assert step_rewards(shared, verdict(0, 1)) == StepRewards((1,), (0,))
