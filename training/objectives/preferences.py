"""Learning from pairs without a reward model: DPO, IPO, SPIN.

DPO (Rafailov 2023, arXiv:2305.18290, equation 7): -log sigmoid(beta * h), with h the log-ratio of policy to reference
of the chosen completion less that of the rejected one; with label smoothing the pair is swapped with that probability
(Mitchell 2023, "A note on DPO with noisy preferences", equation 3). IPO (Azar 2023, arXiv:2310.12036, equation 17):
(h - 1 / (2 beta))^2, which does not drive h to infinity.
"""

from typing import Literal

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled, precise

PreferenceLoss = Literal["sigmoid", "ipo"]


def completion_logps(logps: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of completions (completions,) from those of their tokens (completions, tokens)."""
    return filled(logps, mask).sum(-1)


def implicit_rewards(logps: Tensor, ref_logps: Tensor, beta: float = 0.1) -> Tensor:
    """beta * log(p / p_ref), of completions or of tokens: the reward under which the policy is optimal (equation 5)."""
    return beta * (precise(logps) - precise(ref_logps))


def dpo_losses(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    loss_type: PreferenceLoss = "sigmoid",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of each pair (pairs,) from the log-probabilities of whole completions (pairs,).

    `label_smoothing`, in [0, 0.5), is the share of pairs thought to be the wrong way round; "ipo" has none.
    """
    ratio = implicit_rewards(chosen_logps, ref_chosen_logps, 1.0) - implicit_rewards(
        rejected_logps, ref_rejected_logps, 1.0
    )
    if loss_type == "ipo":
        return (ratio - 1 / (2 * beta)).square()
    right, swapped = (torch.nn.functional.logsigmoid(sign * beta * ratio) for sign in (1, -1))
    return -(1 - label_smoothing) * right - label_smoothing * swapped


def spin_losses(
    real_logps: Tensor,
    generated_logps: Tensor,
    opponent_real_logps: Tensor,
    opponent_generated_logps: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """Self-play fine-tuning (Chen 2024, SPIN, arXiv:2401.01335, equation 4.7), beta being its lambda: (pairs,).

    DPO's loss, in which the data's completion is chosen, the one that the policy of the last iteration (the opponent)
    wrote is rejected, and that policy is the reference.
    """
    return dpo_losses(real_logps, generated_logps, opponent_real_logps, opponent_generated_logps, beta=beta)
