"""Advantages of completions against the papers' equations, with rewards that nobody could decide among them."""

import random
import statistics
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.advantages import (
    ScaleRewards,
    carries_signal,
    group_advantages,
    leave_one_out_advantages,
    reward_table,
)

Groups = list[list[float | None]]


def sampled_groups(seed: int) -> Groups:
    """Groups of 1 to 8 rewards, some None, some all equal."""
    rng = random.Random(seed)
    groups: Groups = [[rng.choice([0.0, 1.0, None, rng.random()]) for _ in range(rng.randint(1, 8))] for _ in range(6)]
    return [*groups, [0.1] * 7, [None, None], [None, 0.3]]


def reference(groups: Groups, scale_rewards: ScaleRewards, epsilon: float) -> list[list[float]]:
    everything = [reward for group in groups for reward in group if reward is not None]
    advantages: list[list[float]] = []
    for group in groups:
        decided = [reward for reward in group if reward is not None]
        if len(set(decided)) < 2:
            advantages.append([0.0] * len(group))
            continue
        scales = {"group": statistics.stdev(decided), "batch": statistics.stdev(everything)}
        scale = 1.0 if scale_rewards == "none" else scales[scale_rewards] + epsilon
        mean = statistics.fmean(decided)
        advantages.append([0.0 if reward is None else (reward - mean) / scale for reward in group])
    return advantages


def table(groups: Groups) -> tuple[Tensor, Tensor]:
    """As `reward_table`, in float64 and with nan at what must not be read."""
    rewards, decided = reward_table(groups)
    exact = torch.tensor([[reward or 0.0 for reward in row] for row in padded(groups)], dtype=torch.float64)
    assert torch.equal(exact.float(), rewards)
    return exact.masked_fill(~decided, torch.nan), decided


def padded(groups: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    width = max(map(len, groups))
    return [[*group, *[None] * (width - len(group))] for group in groups]


def assert_rows(advantages: Tensor, expected: list[list[float]]) -> None:
    for row, values in zip(advantages, expected, strict=True):
        torch.testing.assert_close(row[: len(values)].tolist(), values, atol=1e-9, rtol=1e-9)
        assert not row[len(values) :].any()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_group_advantages_are_the_equation(seed: int, scale_rewards: ScaleRewards, epsilon: float) -> None:
    groups = sampled_groups(seed)
    advantages = group_advantages(*table(groups), scale_rewards=scale_rewards, epsilon=epsilon)
    assert_rows(advantages, reference(groups, scale_rewards, epsilon))


@pytest.mark.parametrize("seed", range(8))
def test_leave_one_out_subtracts_the_mean_of_the_others(seed: int) -> None:
    groups = sampled_groups(seed)
    expected: list[list[float]] = []
    for group in groups:
        row: list[float] = []
        for index, reward in enumerate(group):
            others = [other for i, other in enumerate(group) if i != index and other is not None]
            row.append(reward - statistics.fmean(others) if reward is not None and others else 0.0)
        expected.append(row)
    assert_rows(leave_one_out_advantages(*table(groups)), expected)


def test_equal_rewards_have_exactly_no_advantage_and_no_signal() -> None:
    rewards, decided = reward_table([[0.1] * 7, [0.1] * 6 + [None], [None] * 7, [1.0] + [None] * 6, [0.0, 1.0]])
    assert carries_signal(rewards, decided).tolist() == [False, False, False, False, True]
    for scale_rewards in ("group", "batch", "none"):
        advantages = group_advantages(rewards, decided, scale_rewards=scale_rewards, epsilon=0.0)
        assert not advantages[:4].any()
        assert advantages[4, 0] < 0 < advantages[4, 1]
        assert torch.isfinite(advantages).all()


def test_a_batch_of_one_reward() -> None:
    rewards, decided = reward_table([[1.0]])
    for scale_rewards in ("group", "batch", "none"):
        assert group_advantages(rewards, decided, scale_rewards=scale_rewards).tolist() == [[0.0]]
    assert leave_one_out_advantages(rewards, decided).tolist() == [[0.0]]


def test_a_reward_that_is_no_number_is_refused() -> None:
    for reward in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"group 1: .* None is for what is undecided"):
            reward_table([[0.0, 1.0], [reward, 1.0]])


def test_differences_of_rounding_are_not_blown_up() -> None:
    rewards, decided = reward_table([[0.5, 0.5 + 1e-7, 0.5, 0.5]])
    assert carries_signal(rewards, decided).all()
    assert group_advantages(rewards, decided).abs().max() < 0.01


def test_an_undecided_reward_changes_nothing_for_the_others() -> None:
    with_none = group_advantages(*reward_table([[1.0, None, 0.0, 0.5]]))[0]
    without = group_advantages(*reward_table([[1.0, 0.0, 0.5]]))[0]
    assert with_none[1] == 0.0
    torch.testing.assert_close(with_none[[0, 2, 3]], without)
