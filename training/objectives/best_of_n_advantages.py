"""Advantages for a policy that is served as the best of k samples.

PKPO (Walder and Karkhanis 2025, arXiv:2505.15201) maximises E[max of k rewards], pass@k where rewards are 0 and 1, from
n >= k samples. Its estimator s(loo-1) credits sample i, over all sets I of k samples with i in them, with what it adds
to the rest of the set: s_i = 1 / C(n, k) * sum_I (max over I - max over I without i). It is unbiased.

A set is i and k - 1 of the other n - 1. The best of these is the sample of rank j, if that is worse than i, with
probability C(j - 1, k - 2) / C(n - 1, k - 1); thus n s_i = k sum_j max(0, r_i - r_j) C(j - 1, k - 2) / C(n - 1, k - 1).
"""

import torch
from torch import Tensor

from deliberate.training.objectives.advantages import leave_one_out_advantages
from deliberate.training.objectives.masking import filled


def best_of_n_advantages(rewards: Tensor, decided: Tensor, k: int) -> Tensor:
    """n * s_i of each completion (groups, completions), so that the mean of A_i * grad log p_i is the gradient.

    `decided` (same shape, bool) says which rewards count; a group with fewer than `k` of them takes what it has for
    k. With k = 1 it is leave-one-out. Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}, and the best of k samples needs at least 1")
    if k == 1:
        return leave_one_out_advantages(rewards, decided)
    values = filled(rewards, decided)
    count = decided.sum(-1, keepdim=True)
    size = count.clamp(max=k)
    gains = (values.unsqueeze(-1) - values.unsqueeze(-2)).relu()
    advantages = size * (gains * _probabilities(values, decided, count, size).unsqueeze(-2)).sum(-1)
    return filled(advantages, decided)


def _probabilities(values: Tensor, decided: Tensor, count: Tensor, size: Tensor) -> Tensor:
    """That each sample is the best of size - 1 drawn from count - 1, among them all that are worse than it."""
    rank = values.masked_fill(~decided, torch.inf).argsort(dim=-1, stable=True).argsort(dim=-1)
    logs = _log_choose(rank, size - 2) - _log_choose(count - 1, size - 1)
    return filled(logs.exp(), decided & (size >= 2)).to(values.dtype)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    """log C(n, k), -inf for k > n and for k < 0."""
    n, k = n.double(), k.double()
    logs = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return logs.masked_fill((k > n) | (k < 0), -torch.inf)
