"""Proximal policy optimisation with a value for each token.

GAE (Schulman 2015, arXiv:1506.02438, equations 12 and 16): delta_t = r_t + gamma V_{t+1} - V_t,
A_t = sum_l (gamma lambda)^l delta_{t+l}. With gamma = lambda = 1, the default, it is the rewards to come less V_t
(Open-Reasoner-Zero, arXiv:2503.24290). The policy's loss is `policy_gradient.clipped_surrogate`; advantages are
commonly whitened over the batch before it (`masking.whiten`), and rewards scaled by `whiten(..., shift_mean=False)`.
"""

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float = 0.0) -> Tensor:
    """Rewards (completions, tokens): the completion's score at its last token, less the divergence at every token.

    `scores` (completions,); `kl` (completions, tokens) in nats, usually k1 (InstructGPT, arXiv:2203.02155, equation 2).
    """
    rewards = filled(-kl_coef * filled(kl, mask), mask)
    ends = mask & (mask.sum(-1, keepdim=True) == mask.cumsum(-1))
    return rewards + filled(scores.unsqueeze(-1).expand_as(rewards), ends)


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Advantages and returns (advantage + value), both (completions, tokens) without gradient, 0 outside `mask`.

    `rewards` and `values` (same shape) belong to tokens, V_t being of the state before token t; the last ends it.
    """
    rewards, values = filled(rewards.detach(), mask), filled(values.detach(), mask)
    following = torch.nn.functional.pad(values[..., 1:], (0, 1))
    advantages = filled(_discounted_sums(rewards + gamma * following - values, gamma * lam), mask)
    return advantages, advantages + values


def _discounted_sums(values: Tensor, discount: float) -> Tensor:
    """sum_l discount^l * values_{t+l} for each t, the spans doubled until they reach the end."""
    span, tokens = 1, values.shape[-1]
    while span < tokens:
        values = values + discount**span * torch.nn.functional.pad(values[..., span:], (0, span))
        span *= 2
    return values


def value_losses(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, cliprange_value: float | None = 0.2
) -> Tensor:
    """Half the squared error at each token (completions, tokens), 0 outside `mask`; average by `token_weights`.

    With `cliprange_value` the error of the value kept that near to `old_values` counts where it is the greater one
    (Dhariwal 2017, OpenAI Baselines' ppo2).
    """
    values, old_values, returns = (filled(each, mask) for each in (values, old_values, returns))
    losses = (values - returns).square()
    if cliprange_value is not None:
        near = old_values + (values - old_values).clamp(-cliprange_value, cliprange_value)
        losses = losses.maximum((near - returns).square())
    return losses / 2
