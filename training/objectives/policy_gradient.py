"""The clipped surrogate of PPO and of all that followed it.

PPO (Schulman 2017, arXiv:1707.06347, equation 7): minimise -min(r A, clip(r, 1 - epsilon, 1 + epsilon) A), with r the
probability under the policy over that under the policy that sampled. DAPO's clip-higher (Yu 2025, arXiv:2503.14476,
equation 10) gives the upper side a bound of its own, so that unlikely tokens can rise. GSPO (Zheng 2025,
arXiv:2507.18071, equation 7) takes one ratio for the completion, the geometric mean of its tokens'.
"""

from typing import Literal

from torch import Tensor

from deliberate.training.objectives.masking import filled, masked_mean

ImportanceSamplingLevel = Literal["token", "sequence"]

MAX_LOG_RATIO = 20.0
"""Ratios are bounded to exp of this, in either direction, for the sake of float32; beyond it the gradient is 0."""


def importance_ratio(
    logps: Tensor, old_logps: Tensor, mask: Tensor, level: ImportanceSamplingLevel = "token"
) -> Tensor:
    """Probabilities under the policy over those under `old_logps`: (completions, tokens), 1 outside `mask`.

    `logps` and `old_logps` (same shape) are log-probabilities of the sampled tokens; where the policy has not changed
    since, `old_logps` is `logps.detach()`. At level "sequence" all tokens of a completion have the same ratio.
    """
    logs = filled(logps, mask) - filled(old_logps, mask)
    if level == "sequence":
        logs = filled(masked_mean(logs, mask, (-1,)).expand_as(logs), mask)
    return logs.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def clipped_surrogate(
    ratio: Tensor, advantages: Tensor, *, epsilon: float = 0.2, epsilon_high: float | None = None
) -> Tensor:
    """The loss of each token (completions, tokens), for advantages (completions, tokens) or (completions, 1).

    The ratio is kept in [1 - epsilon, 1 + epsilon_high] where leaving it would pay; None for the same on both sides.
    Both arguments are finite everywhere: no mask is given.
    """
    clipped = ratio.clamp(1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high))
    return -(ratio * advantages).minimum(clipped * advantages)


def is_clipped(ratio: Tensor, advantages: Tensor, *, epsilon: float = 0.2, epsilon_high: float | None = None) -> Tensor:
    """Tokens (completions, tokens) bool on which the clip has taken the gradient away."""
    above = ratio > 1 + (epsilon if epsilon_high is None else epsilon_high)
    return ((ratio < 1 - epsilon) & (advantages < 0)) | (above & (advantages > 0))
