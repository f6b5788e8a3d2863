"""Estimates, token by token, of the KL divergence from the policy to a reference, from the policy's own samples.

Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html), with x = log p_ref - log p:
k1 = -x, unbiased; k2 = x^2 / 2, biased and of low variance; k3 = e^x - x - 1, unbiased and never negative, the penalty
of GRPO (DeepSeekMath, arXiv:2402.03300, equation 4).

As a loss to differentiate only k2 has the gradient of the divergence itself in expectation; that of k1 is 0 in
expectation, so that k1 is for metrics and for rewards (Tang and Munos 2025, arXiv:2506.09477).
"""

from typing import Literal

from torch import Tensor

from deliberate.training.objectives.masking import filled
from deliberate.training.objectives.policy_gradient import MAX_LOG_RATIO

KLEstimator = Literal["k1", "k2", "k3"]


def kl_divergence(logps: Tensor, ref_logps: Tensor, mask: Tensor, estimator: KLEstimator = "k3") -> Tensor:
    """Nats at each token, of the same shape as all arguments; 0 outside `mask`.

    k3 is bounded where the reference is e^20 times as sure as the policy; there its gradient is 0.
    """
    difference = filled(ref_logps, mask) - filled(logps, mask)
    match estimator:
        case "k1":
            return -difference
        case "k2":
            return difference.square() / 2
        case "k3":
            bounded = difference.clamp(max=MAX_LOG_RATIO)
            return bounded.expm1() - bounded
