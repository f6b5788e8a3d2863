"""Advantages for the best of k: against all sets of k, and against the gradient that they estimate."""

import itertools
import math
import random
import statistics

import pytest
import torch

from deliberate.training.objectives.advantages import leave_one_out_advantages, reward_table
from deliberate.training.objectives.best_of_n_advantages import best_of_n_advantages


def reference(rewards: list[float], k: int) -> list[float]:
    """n times the sum over sets I of k that hold i of max(I) - max(I without i), over C(n, k)."""
    n = len(rewards)
    size = min(k, n)
    advantages = [0.0] * n
    for chosen in itertools.combinations(range(n), size):
        for i in chosen:
            rest = [rewards[j] for j in chosen if j != i]
            gain = max(rewards[j] for j in chosen) - max(rest) if rest else 0.0
            advantages[i] += n * gain / math.comb(n, size)
    return advantages


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_gains_over_all_sets(seed: int, k: int) -> None:
    rng = random.Random(seed)
    groups = [[rng.choice([0.0, 1.0, rng.random(), None]) for _ in range(8)] for _ in range(5)]
    rewards, decided = reward_table(groups)
    advantages = best_of_n_advantages(rewards.double().masked_fill(~decided, torch.nan), decided, k)
    for row, group, known in zip(advantages, rewards.double(), decided, strict=True):
        torch.testing.assert_close(row[known].tolist(), reference(group[known].tolist(), k), atol=1e-9, rtol=1e-9)
        assert not row[~known].any()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_estimate_is_unbiased(k: int) -> None:
    """Over all outcomes of n samples of a small policy, the expected estimate is the gradient of E[max of k]."""
    n, payoff = 4, torch.tensor([0.1, 0.7, 0.4], dtype=torch.float64)
    logits = torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64, requires_grad=True)
    logps = logits.log_softmax(-1)
    objective = sum(
        (logps[list(draw)].sum().exp() * payoff[list(draw)].max() for draw in itertools.product(range(3), repeat=k)),
        torch.zeros((), dtype=torch.float64),
    )
    (expected,) = torch.autograd.grad(objective, logits, retain_graph=True)
    draws = torch.tensor(list(itertools.product(range(3), repeat=n)))
    advantages = best_of_n_advantages(payoff[draws], torch.ones_like(draws, dtype=torch.bool), k)
    chances = logps[draws].sum(-1).exp().detach()
    (estimate,) = torch.autograd.grad((chances * (advantages * logps[draws]).mean(-1)).sum(), logits)
    torch.testing.assert_close(estimate, expected, atol=1e-12, rtol=0)


def test_one_sample_is_leave_one_out() -> None:
    rewards, decided = reward_table([[0.2, 0.9, None, 0.4], [1.0, None, None, None]])
    assert torch.equal(best_of_n_advantages(rewards, decided, 1), leave_one_out_advantages(rewards, decided))


def test_equal_rewards_and_lone_completions_have_no_advantage() -> None:
    rewards, decided = reward_table([[0.3] * 4, [1.0, None, None, None], [None] * 4])
    assert not best_of_n_advantages(rewards, decided, 3).any()


def test_only_what_could_be_the_best_is_credited() -> None:
    rewards, decided = reward_table([[1.0] + [0.0] * 63])
    advantages = best_of_n_advantages(rewards, decided, 16)[0]
    assert advantages[0] == pytest.approx(16.0)
    assert not advantages[1:].any()
    assert statistics.fmean(advantages.tolist()) == pytest.approx(0.25)


def test_the_best_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        best_of_n_advantages(*reward_table([[0.0, 1.0]]), k=0)
