"""From rewards to advantages: which completions, and which of their tokens, were better than the group's others.

Outcomes are credited to all tokens of a completion, steps to the tokens up to their ends; where there are both, the
advantages are added.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deliberate.training.objectives.advantages import reward_table
from deliberate.training.objectives.step_advantages import step_advantages, step_reward_table
from deliberate.training.policy_optimization.rewards import StepRewards

GroupAdvantages = Callable[[Tensor, Tensor], Tensor]
"""From rewards and which are decided, both (groups, completions), to advantages."""


def outcome_advantages(groups: Sequence[Sequence[float | None]], of: GroupAdvantages) -> tuple[Tensor, Tensor]:
    """Advantages (completions, 1), 0 where undecided, and which are decided (completions,), all groups in a row."""
    rewards, decided = reward_table(groups)
    there = torch.tensor([[i < len(group) for i in range(rewards.shape[1])] for group in groups], dtype=torch.bool)
    return of(rewards, decided)[there].unsqueeze(1), decided[there]


def process_advantages(groups: Sequence[Sequence[StepRewards]], tokens: int) -> tuple[Tensor, Tensor]:
    """Advantages (completions, tokens) and which completions have a decided step (completions,)."""
    width = max(map(len, groups))
    nothing = StepRewards((), ())
    rows = [row for group in groups for row in [*group, *[nothing] * (width - len(group))]]
    there = torch.tensor([i < len(group) for group in groups for i in range(width)])
    rewards, ends = step_reward_table([row.ends for row in rows], [row.rewards for row in rows], tokens)
    shape = (len(groups), width, tokens)
    advantages = step_advantages(rewards.view(shape), ends.view(shape)).flatten(0, 1)
    return advantages[there], ends.any(-1)[there]
