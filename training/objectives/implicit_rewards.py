"""A process reward model from outcome labels alone: the log-ratio of two language models.

Yuan 2024, "Free process rewards without process labels", arXiv:2412.01981. With the reward of a completion parametrised
as beta * log(p / p_ref), the same ratio of its beginnings is their expected reward (proposition 3.1), and a step's is
what it adds: r_t = q_t - q_{t-1}, q_t = beta * sum_{i <= t} log(p_i / p_ref_i). Trained by cross entropy on outcomes
(equation 5), or by `preferences.dpo_losses` on pairs.
"""

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled
from deliberate.training.objectives.reward_models import pointwise_loss


def implicit_outcome_loss(logps: Tensor, ref_logps: Tensor, mask: Tensor, labels: Tensor, beta: float = 0.05) -> Tensor:
    """Mean cross entropy of `labels` (completions,) in [0, 1]; 0-dimensional.

    `logps` and `ref_logps` (completions, tokens) are of the model that is trained and of its start. Completions without
    a token in `mask` do not count.
    """
    log_odds = beta * (filled(logps, mask) - filled(ref_logps, mask)).sum(-1)
    return pointwise_loss(log_odds, labels, mask.any(-1))


def implicit_step_rewards(
    logps: Tensor, ref_logps: Tensor, mask: Tensor, step_of_token: Tensor, steps: int, beta: float = 0.05
) -> Tensor:
    """What each step adds (completions, steps), 0 for steps without tokens.

    `step_of_token` (completions, tokens) int64 is the step, from 0 to `steps` - 1, of each token in `mask`.
    The sum up to a step is the value q_t after it.
    """
    ratios = beta * (filled(logps, mask) - filled(ref_logps, mask))
    rewards = torch.zeros(*ratios.shape[:-1], steps, dtype=ratios.dtype, device=ratios.device)
    return rewards.scatter_add(-1, step_of_token.masked_fill(~mask, 0), ratios)
