"""Group relative policy optimisation: the loss of each token, with the field's variants as options.

DeepSeekMath (Shao 2024, arXiv:2402.03300, equation 3), with the surrogate of `policy_gradient.py` and k3 of
`divergence.py`: loss = -min(r A, clip(r) A) + beta * KL, averaged by `aggregation.token_weights`. The defaults are the
paper's: clip 0.2, beta 0.04, loss type "grpo", advantages of `advantages.group_advantages` or, with process
supervision, of `step_advantages.step_advantages`.

- Dr. GRPO (arXiv:2503.20783): `scale_rewards="none"`, loss type "dr_grpo", beta 0.
- DAPO (arXiv:2503.14476): `epsilon_high=0.28`, loss type "dapo", beta 0, groups that `carries_signal`, `leave_out` of
  truncated completions or the reward `length`.
- GSPO (arXiv:2507.18071): `importance_sampling_level="sequence"`, epsilon 3e-4, `epsilon_high` 4e-4, beta 0.
"""

from dataclasses import dataclass

from torch import Tensor

from deliberate.training.objectives.divergence import kl_divergence
from deliberate.training.objectives.policy_gradient import (
    ImportanceSamplingLevel,
    clipped_surrogate,
    importance_ratio,
    is_clipped,
)


@dataclass(frozen=True, slots=True)
class Samples:
    """What is known of sampled completions. Log-probabilities are of the sampled tokens; none needs a gradient."""

    mask: Tensor
    """(completions, tokens) bool: the tokens that are learned from."""
    advantages: Tensor
    """(completions, tokens), or (completions, 1) for one of the whole completion."""
    old_logps: Tensor | None = None
    """(completions, tokens) of the policy before the update; None where it has not changed since."""
    ref_logps: Tensor | None = None
    """(completions, tokens) of the reference; None where no divergence from it is wanted."""
    correction: Tensor | None = None
    """(completions, tokens): factors from `rollout_correction.py`, None for none."""


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """All (completions, tokens)."""

    loss: Tensor
    """To be weighted, summed and differentiated."""
    ratio: Tensor
    """Policy over old policy, without gradient."""
    clipped: Tensor
    """bool: the clip took the gradient away."""
    kl: Tensor
    """k3 to the reference in nats, without gradient; 0 without a reference."""


def grpo_losses(
    logps: Tensor,
    samples: Samples,
    *,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.04,
    importance_sampling_level: ImportanceSamplingLevel = "token",
) -> TokenLosses:
    """The loss of each token under the policy's log-probabilities `logps` (completions, tokens); 0 outside the mask."""
    mask = samples.mask
    old_logps = logps.detach() if samples.old_logps is None else samples.old_logps
    ratio = importance_ratio(logps, old_logps, mask, importance_sampling_level)
    advantages = samples.advantages.to(ratio.dtype).expand_as(ratio).masked_fill(~mask, 0.0)
    loss = clipped_surrogate(ratio, advantages, epsilon=epsilon, epsilon_high=epsilon_high)
    clipped = is_clipped(ratio, advantages, epsilon=epsilon, epsilon_high=epsilon_high)
    if samples.correction is not None:
        loss = loss * samples.correction.masked_fill(~mask, 0.0)
    kl = ratio.new_zeros(ratio.shape)
    if samples.ref_logps is not None:
        kl = kl_divergence(logps, samples.ref_logps, mask)
        loss = loss + beta * kl
    return TokenLosses(loss, ratio.detach(), clipped, kl.detach())
