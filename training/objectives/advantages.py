"""How much better a completion is than the others of its prompt: advantages from outcome rewards.

Group-normalised as in GRPO (Shao 2024, DeepSeekMath, arXiv:2402.03300, section 4.1.2): A_i = (r_i - mean(r)) / std(r).
The paper leaves open which std; this is the sample's (n - 1), as in TRL, verl and OpenRLHF, so that rates and clip
ranges found with them carry over. `scale_rewards="none"` is Dr. GRPO (Liu 2025, arXiv:2503.20783): without the
division, which weighs problems that are nearly solved or nearly hopeless more. `"batch"` divides by the std of all
rewards of the batch (Liu 2025, arXiv:2508.08221). Leave-one-out is RLOO (Ahmadian 2024, arXiv:2402.14740).

A reward that could not be decided (None) is left out of mean and std and has advantage 0; so has the padding of small
groups.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from deliberate.training.objectives.masking import filled, masked_mean, masked_variance

ScaleRewards = Literal["group", "batch", "none"]


def reward_table(groups: Sequence[Sequence[float | None]]) -> tuple[Tensor, Tensor]:
    """Rewards (groups, completions) float32 and which of them are decided (bool); shorter groups are padded.

    Raises ValueError for a reward that is nan or infinite; what could not be decided is None.
    """
    for number, group in enumerate(groups):
        if not all(reward is None or math.isfinite(reward) for reward in group):
            raise ValueError(f"group {number}: rewards {list(group)} must be finite; None is for what is undecided")
    width = max(map(len, groups), default=0)
    rows = [[*group, *[None] * (width - len(group))] for group in groups]
    values = torch.tensor([[0.0 if reward is None else reward for reward in row] for row in rows])
    decided = torch.tensor([[reward is not None for reward in row] for row in rows], dtype=torch.bool)
    return values.view(len(rows), width), decided.view(len(rows), width)


def carries_signal(rewards: Tensor, decided: Tensor) -> Tensor:
    """Which groups (groups,) teach something: those with two different rewards.

    In the others all advantages are 0. Dynamic sampling (Yu 2025, DAPO, arXiv:2503.14476, equation 11) replaces them.
    """
    highest = rewards.masked_fill(~decided, -torch.inf).amax(-1)
    lowest = rewards.masked_fill(~decided, torch.inf).amin(-1)
    return highest > lowest


def group_advantages(
    rewards: Tensor, decided: Tensor, *, scale_rewards: ScaleRewards = "group", epsilon: float = 1e-4
) -> Tensor:
    """Advantages (groups, completions) of `rewards`, `decided` (same shape, bool) saying which count.

    `epsilon` is added to the std, in units of reward, so that differences of rounding are not blown up to ones of
    quality; with 0 the equation is the paper's. Groups without signal have exactly 0.
    """
    counted = decided & carries_signal(rewards, decided).unsqueeze(-1)
    centered = filled(rewards - masked_mean(rewards, decided, (-1,)), counted)
    if scale_rewards == "none":
        return centered
    over = (-1,) if scale_rewards == "group" else None
    scale = masked_variance(rewards, decided, over).sqrt() + epsilon
    return filled(centered / scale, counted)


def leave_one_out_advantages(rewards: Tensor, decided: Tensor) -> Tensor:
    """r_i less the mean of the group's other rewards (groups, completions); 0 where there is no other."""
    others = decided.sum(-1, keepdim=True) - 1
    centered = group_advantages(rewards, decided, scale_rewards="none")
    return centered * (others + 1) / others.clamp(min=1)
