"""Outcome reward models: rewards of whole completions from which of them is better, or from which are right.

Pairwise is Bradley-Terry over all pairs of a prompt, which one forward pass for each completion serves: InstructGPT
(Ouyang 2022, arXiv:2203.02155, equation 1), -1 / C(K, 2) * sum log sigmoid(r_better - r_worse).
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from deliberate.training.objectives.masking import filled, masked_mean


def pairwise_loss(
    rewards: Tensor,
    quality: Tensor,
    mask: Tensor,
    *,
    margins: Tensor | None = None,
    center_rewards_coefficient: float = 0.0,
) -> Tensor:
    """Mean over the pairs of each prompt, then over the prompts that have any; 0-dimensional.

    `rewards` and `quality` are (prompts, K), `mask` of the same shape says which completions there are; those of equal
    quality make no pair. `margins` (prompts, K, K) is by how much reward [p, i, j] has i to lead j (Llama 2,
    arXiv:2307.09288, equation 2). `center_rewards_coefficient` times the square of a pair's sum keeps rewards around 0
    (Eisenstein 2023, arXiv:2312.09244).
    """
    rewards = filled(rewards, mask)
    pairs = _ordered_pairs(quality, mask)
    lead = rewards.unsqueeze(-1) - rewards.unsqueeze(-2)
    losses = -logsigmoid(lead if margins is None else lead - filled(margins, pairs))
    if center_rewards_coefficient:
        sums = rewards.unsqueeze(-1) + rewards.unsqueeze(-2)
        losses = losses + center_rewards_coefficient * sums.square()
    of_prompts = masked_mean(losses, pairs, (-2, -1))
    return masked_mean(of_prompts, pairs.any(-1).any(-1)[:, None, None])


def pointwise_loss(rewards: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean binary cross entropy of completions; 0-dimensional.

    `rewards` are log-odds of being right, `labels` the truth or its probability in [0, 1], `mask` says which count; all
    of one shape. Cobbe 2021, arXiv:2110.14168.
    """
    losses = binary_cross_entropy_with_logits(filled(rewards, mask), filled(labels, mask), reduction="none")
    return masked_mean(losses, mask)


def within_problem_loss(rewards: Tensor, labels: Tensor, mask: Tensor, *, pointwise_weight: float = 1.0) -> Tensor:
    """Right before wrong within a problem, plus cross entropy where a problem has both; 0-dimensional.

    `rewards`, `labels` (0 or 1) and `mask` are (problems, K). Problems whose completions are all right or all wrong are
    not learned from: they would teach which problems are hard, not which solutions are right.
    """
    mixed = _ordered_pairs(labels, mask).any(-1).any(-1, keepdim=True)
    return pairwise_loss(rewards, labels, mask) + pointwise_weight * pointwise_loss(rewards, labels, mask & mixed)


def _ordered_pairs(quality: Tensor, mask: Tensor) -> Tensor:
    """[p, i, j]: completion i of prompt p is better than j (prompts, K, K) bool."""
    better = quality.unsqueeze(-1) > quality.unsqueeze(-2)
    return better & mask.unsqueeze(-1) & mask.unsqueeze(-2)
