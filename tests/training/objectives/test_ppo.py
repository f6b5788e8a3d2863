"""GAE, the value loss and PPO's rewards against their equations."""

import math
import statistics

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.masking import whiten
from deliberate.training.objectives.policy_gradient import clipped_surrogate, importance_ratio
from deliberate.training.objectives.ppo import generalized_advantages, token_rewards, value_losses

from .agreement import Nested, assert_agree, normal, poisoned, right_padded

ROWS, TOKENS = 5, 9


def gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Equation 16 as it stands: a sum over all later temporal differences."""
    length = len(rewards)
    following = [*values[1:], 0.0]
    deltas = [rewards[t] + gamma * following[t] - values[t] for t in range(length)]
    return [sum((gamma * lam) ** (later - t) * deltas[later] for later in range(t, length)) for t in range(length)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.99, 0.9), (0.9, 0.0), (0.0, 0.5)])
def test_advantages_are_the_equation(seed: int, gamma: float, lam: float) -> None:
    mask = right_padded(seed, ROWS, TOKENS)
    rewards, values = normal(seed + 1, ROWS, TOKENS), normal(seed + 2, ROWS, TOKENS)
    advantages, returns = generalized_advantages(
        poisoned(rewards, mask), poisoned(values, mask).requires_grad_(), mask, gamma=gamma, lam=lam
    )
    assert not advantages.requires_grad
    for row, length in enumerate(mask.sum(-1).tolist()):
        expected = gae(rewards[row, :length].tolist(), values[row, :length].tolist(), gamma, lam)
        torch.testing.assert_close(advantages[row, :length].tolist(), expected, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(returns[row, :length], advantages[row, :length] + values[row, :length])
        assert not advantages[row, length:].any()
        assert not returns[row, length:].any()


def test_by_default_the_return_is_what_is_still_to_come() -> None:
    rewards = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    mask = torch.tensor([[True, True, True, False]])
    advantages, returns = generalized_advantages(rewards, torch.tensor([[0.5, 0.25, 0.75, 9.0]]), mask)
    assert advantages.tolist() == [[0.5, 0.75, 0.25, 0.0]]
    assert returns.tolist() == [[1.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cliprange_value", [None, 0.2])
def test_value_loss(seed: int, cliprange_value: float | None) -> None:
    mask = right_padded(seed, ROWS, TOKENS)
    old, returns = normal(seed + 1, ROWS, TOKENS), normal(seed + 2, ROWS, TOKENS)

    def reference(values: Nested) -> float:
        total = 0.0
        for i, length in enumerate(mask.sum(-1).tolist()):
            for t in range(length):
                value, before, target = values[i][t], float(old[i, t]), float(returns[i, t])
                error = (value - target) ** 2
                if cliprange_value is not None:
                    near = before + min(max(value - before, -cliprange_value), cliprange_value)
                    error = max(error, (near - target) ** 2)
                total += error / 2
        return total

    def loss(values: Tensor) -> Tensor:
        return value_losses(values, poisoned(old, mask), poisoned(returns, mask), mask, cliprange_value).sum()

    assert_agree(loss, reference, old + normal(seed + 3, ROWS, TOKENS, scale=0.5))


def test_rewards_stand_at_the_last_token_and_divergence_at_all() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    kl = torch.tensor([[0.5, 1.0, torch.nan], [0.0, 2.0, 0.5], [torch.nan] * 3])
    rewards = token_rewards(torch.tensor([1.0, -1.0, 7.0]), kl, mask, kl_coef=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 0.9, 0.0], [0.0, -0.2, -1.05], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening(shift_mean: bool) -> None:
    mask = right_padded(1, ROWS, TOKENS)
    values = 3 + normal(2, ROWS, TOKENS, scale=5)
    whitened = whiten(poisoned(values, mask), mask, shift_mean=shift_mean)
    kept = whitened[mask].tolist()
    assert statistics.stdev(kept) == pytest.approx(1.0)
    assert statistics.fmean(kept) == pytest.approx(0.0 if shift_mean else statistics.fmean(values[mask].tolist()))
    assert not whitened[~mask].any()


def test_whitening_equal_values_or_none() -> None:
    assert whiten(torch.full((1, 4), 2.0), torch.ones(1, 4, dtype=torch.bool)).tolist() == [[0.0] * 4]
    assert whiten(torch.full((1, 4), 2.0), torch.zeros(1, 4, dtype=torch.bool)).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("seed", range(4))
def test_the_whole_policy_loss(seed: int) -> None:
    """GAE, whitened, in the clipped surrogate, averaged over tokens."""
    mask = right_padded(seed, ROWS, TOKENS)
    old = -normal(seed + 1, ROWS, TOKENS).abs()
    rewards, values = normal(seed + 2, ROWS, TOKENS), normal(seed + 3, ROWS, TOKENS)
    advantages = whiten(generalized_advantages(rewards, values, mask, lam=0.95)[0], mask)
    lengths = mask.sum(-1).tolist()
    plain = [gae(rewards[i, :n].tolist(), values[i, :n].tolist(), 1.0, 0.95) for i, n in enumerate(lengths)]
    everything = [advantage for row in plain for advantage in row]
    mean, variance = statistics.fmean(everything), statistics.variance(everything)

    def reference(logps: Nested) -> float:
        total = 0.0
        for i, length in enumerate(lengths):
            for t in range(length):
                ratio = math.exp(logps[i][t] - float(old[i, t]))
                advantage = (plain[i][t] - mean) / math.sqrt(variance + 1e-8)
                total -= min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
        return total / sum(lengths)

    def loss(logps: Tensor) -> Tensor:
        return clipped_surrogate(importance_ratio(logps, old, mask), advantages)[mask].mean()

    assert_agree(loss, reference, old + normal(seed + 4, ROWS, TOKENS, scale=0.3))
