"""The figures of a step, for its line of metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

import torch
from torch import Tensor

from deliberate.training.optimization import processes
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.rewards import Rewards


def sampling_figures(groups: Sequence[ScoredGroup], rewards: Rewards) -> dict[str, float]:
    """Of what was sampled. `reward_std` is the mean over the groups; both are over what is decided."""
    totals = [rewards.total(group) for group in groups]
    decided = [[reward for reward in group if reward is not None] for group in totals]
    samples = [sample for group in groups for sample in group.samples]
    values = {
        "undecided": 1 - sum(map(len, decided)) / len(samples),
        "completion_length": fmean(len(sample.token_ids) for sample in samples),
        "truncated": fmean(sample.finish.reason != "stop" for sample in samples),
        "groups_without_signal": fmean(not rewards.teaches(group) for group in groups),
    }
    if all_decided := [reward for group in decided for reward in group]:
        values["reward"] = fmean(all_decided)
        values["reward_std"] = fmean(stdev(group) for group in decided if len(group) > 1) if _any_pair(decided) else 0.0
    for option in rewards.config.rewards:
        scores = [verdict.score for group in groups for verdict in group.verdicts[option.name]]
        if known := [score for score in scores if score is not None]:
            values[f"rewards/{option.name}"] = fmean(known)
    return values


def _any_pair(groups: Sequence[Sequence[float]]) -> bool:
    return any(len(group) > 1 for group in groups)


@dataclass(slots=True)
class Tally:
    """Means over the tokens of several micro-batches, of all processes."""

    sums: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def add(self, mask: Tensor, **values: Tensor) -> None:
        """Values (completions, tokens), counted where `mask` is True."""
        for name, value in values.items():
            total, tokens = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value.detach().double()[mask].sum().item(), tokens + int(mask.sum())

    def add_clipping(self, mask: Tensor, clipped: Tensor, ratio: Tensor) -> None:
        """`clip_fraction`, and of it what was clipped below and above."""
        above = clipped & (ratio > 1)
        self.add(mask, clip_fraction=clipped, clip_fraction_low=clipped & ~above, clip_fraction_high=above)

    def means(self) -> dict[str, float]:
        """All processes ask together, with the same names."""
        sums = torch.tensor(list(self.sums.values()), dtype=torch.float64).reshape(-1, 2)
        return {
            name: total / max(1, tokens)
            for name, (total, tokens) in zip(self.sums, processes.summed(sums).tolist(), strict=True)
        }
