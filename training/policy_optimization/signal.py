"""Notices when a run learns nothing, because all completions of each problem are rewarded alike."""

from collections.abc import Sequence
from statistics import fmean

from deliberate.engines.errors import DeliberateError
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.rewards import Rewards

_SHOWN = 3


class NoSignal(DeliberateError):
    """For many steps no group had two different rewards."""


class SignalWatch:
    """Counts steps that taught nothing."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._in_vain = 0

    def see(self, step: int, groups: Sequence[ScoredGroup], rewards: Rewards) -> None:
        """Groups of step `step` (from 1). Raises NoSignal when too many steps in a row have taught nothing."""
        if any(map(rewards.teaches, groups)):
            self._in_vain = 0
            return
        self._in_vain += 1
        if self._in_vain >= self._patience:
            raise NoSignal(f"{self._in_vain} steps up to step {step} taught nothing: {_why(groups, rewards)}")


def _why(groups: Sequence[ScoredGroup], rewards: Rewards) -> str:
    totals = [reward for group in groups for reward in rewards.total(group) if reward is not None]
    places = ", ".join(dict.fromkeys(group.row.place for group in groups[:_SHOWN]))
    if not totals:
        reasons = {v.reason for group in groups for verdicts in group.verdicts.values() for v in verdicts if v.reason}
        return (
            f"the verifiers decided nothing of the completions of {places}: {'; '.join(sorted(reasons)[:_SHOWN])}. "
            "Mend what they lack; `deliberate doctor` says what this machine has."
        )
    mean = fmean(totals)
    advice = (
        "The problems are too hard, or the completions lack the form that the verifier reads (see samples.jsonl): take "
        "easier ones, more num_generations, a longer max_completion_length, a reward that grades, or fine-tune first."
        if mean < sum(rewards.config.weights_of_rewards) / 2
        else "The problems are too easy: take harder ones, or a higher temperature."
    )
    return (
        f"all completions of each problem have the same reward (mean {mean:.3g}), such as those of {places}. {advice}"
    )
