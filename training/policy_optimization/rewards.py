"""From what verifiers said of a group to its rewards: of whole completions, and of their steps.

A reward is the weighted sum of scores. A verifier that could decide nothing of a group is left out of it; a completion
that any other could not decide has no reward. What is undecided is never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.training.policy_optimization.config import RewardOptions, SampledConfig
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.verifiers.chains import Pieces
from deliberate.verifiers.protocol import Verdict
from deliberate.verifiers.steps import Step, tokens_by_step


@dataclass(frozen=True, slots=True)
class StepRewards:
    """Of one completion by one verifier."""

    ends: tuple[int, ...]
    """The token that ends each step, counted from the completion's first; ascending."""
    rewards: tuple[float | None, ...]
    """One for each step."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """How verdicts are read."""

    config: SampledConfig
    pieces: Pieces
    """The bytes of the policy's tokens."""
    step_separator: str
    """What the policy puts between steps."""

    def outcome(self, group: ScoredGroup) -> list[float | None]:
        """Of each completion, by the verifiers of outcomes."""
        return self._summed(group, [r for r in self.config.rewards if r.supervision == "outcome"])

    def total(self, group: ScoredGroup) -> list[float | None]:
        """Of each completion, by all verifiers: of those of steps, what they say of the whole."""
        return self._summed(group, self.config.rewards)

    def steps(self, group: ScoredGroup) -> list[tuple[float, list[StepRewards]]]:
        """By each verifier of steps: its weight, and the rewards of each completion."""
        weighted = zip(self.config.rewards, self.config.weights_of_rewards, strict=True)
        return [(w, self._steps_by(reward, group)) for reward, w in weighted if reward.supervision == "process"]

    def teaches(self, group: ScoredGroup) -> bool:
        """Whether any two completions, or steps, are rewarded differently: else all advantages are 0."""
        steps = [[r for completion in completions for r in completion.rewards] for _, completions in self.steps(group)]
        return any(len({r for r in rewards if r is not None}) > 1 for rewards in [self.outcome(group), *steps])

    def _summed(self, group: ScoredGroup, of: Sequence[RewardOptions]) -> list[float | None]:
        weights = dict(zip((r.name for r in self.config.rewards), self.config.weights_of_rewards, strict=True))
        columns = [(weights[r.name], [v.score for v in group.verdicts[r.name]]) for r in of]
        deciding = [(w, scores) for w, scores in columns if any(score is not None for score in scores)]
        return [_sum([(w, scores[i]) for w, scores in deciding]) for i in range(len(group.samples))]

    def _steps_by(self, reward: RewardOptions, group: ScoredGroup) -> list[StepRewards]:
        separator = reward.step_separator or self.step_separator
        verdicts = group.verdicts[reward.name]
        return [
            step_rewards(tokens_by_step([self.pieces[token] for token in sample.token_ids], separator), verdict)
            for sample, verdict in zip(group.samples, verdicts, strict=True)
        ]


def step_rewards(steps: Sequence[Step], verdict: Verdict) -> StepRewards:
    """The verdict's scores at the ends of the steps.

    A verifier may leave the last steps of an unfinished completion out. One that saw more steps than there are split
    differently, and decided nothing. Of steps that end in the same token the worst counts.
    """
    scores: list[float | None] = list(verdict.steps) if len(verdict.steps) <= len(steps) else []
    scores += [None] * (len(steps) - len(scores))
    worst: dict[int, float | None] = {}
    for step, score in zip(steps, scores, strict=True):
        known = [s for s in (worst.get(step.tokens[-1]), score) if s is not None]
        worst[step.tokens[-1]] = min(known, default=None)
    return StepRewards(tuple(worst), tuple(worst.values()))


def _sum(weighted: Sequence[tuple[float, float | None]]) -> float | None:
    if not weighted or any(score is None for _, score in weighted):
        return None
    return sum(weight * score for weight, score in weighted if score is not None)
