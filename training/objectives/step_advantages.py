"""Advantages of tokens from rewards of steps: GRPO with process supervision.

DeepSeekMath (Shao 2024, arXiv:2402.03300, section 4.1.3): with R all step rewards of a group,
r~ = (r - mean(R)) / std(R), and the advantage of token t is the sum of r~ over the steps that end at t or later.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled, masked_mean, masked_variance


def step_reward_table(
    ends: Sequence[Sequence[int]], rewards: Sequence[Sequence[float | None]], tokens: int
) -> tuple[Tensor, Tensor]:
    """Step rewards placed on the tokens that end the steps.

    `ends` and `rewards` have an entry for each step of each completion: the index of its last token, its reward.
    Returns values (completions, tokens) float32 and a bool mask of the ends of decided steps; reshape both to
    (groups, completions, tokens). Raises ValueError where steps and rewards do not match, or two steps share an end.
    """
    values = torch.zeros(len(ends), tokens)
    decided = torch.zeros(len(ends), tokens, dtype=torch.bool)
    for row, (places, scores) in enumerate(zip(ends, rewards, strict=True)):
        if len(places) != len(scores) or len(set(places)) != len(places):
            raise ValueError(
                f"completion {row}: steps end at tokens {list(places)} and have {len(scores)} rewards; "
                "give one reward for each step, and each step a last token of its own"
            )
        known = {place: score for place, score in zip(places, scores, strict=True) if score is not None}
        index = torch.tensor(list(known), dtype=torch.long)
        values[row, index] = torch.tensor(list(known.values()))
        decided[row, index] = True
    return values, decided


def step_advantages(rewards: Tensor, ends: Tensor, *, epsilon: float = 1e-4) -> Tensor:
    """Advantages (groups, completions, tokens), 0 after a completion's last decided step.

    `rewards` (same shape) count where `ends` (bool) marks the last token of a decided step. A group whose step rewards
    are all equal has exactly 0. For std and `epsilon` see `advantages.py`.
    """
    group = (-2, -1)
    highest = rewards.masked_fill(~ends, -torch.inf).amax(group, keepdim=True)
    lowest = rewards.masked_fill(~ends, torch.inf).amin(group, keepdim=True)
    scale = masked_variance(rewards, ends, group).sqrt() + epsilon
    normalised = filled((rewards - masked_mean(rewards, ends, group)) / scale, ends & (highest > lowest))
    return normalised.flip(-1).cumsum(-1).flip(-1)
