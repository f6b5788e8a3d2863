"""A policy that learns by proximal policy optimisation, and a value model that learns to foresee its rewards."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from deliberate.training.objectives.divergence import kl_divergence
from deliberate.training.objectives.masking import masked_variance, whiten
from deliberate.training.objectives.policy_gradient import clipped_surrogate, importance_ratio, is_clipped
from deliberate.training.objectives.ppo import generalized_advantages, token_rewards, value_losses
from deliberate.training.objectives.step_advantages import step_reward_table
from deliberate.training.optimization.loop import Update
from deliberate.training.optimization.optimizer import RATE_FACTOR
from deliberate.training.policies.scalar_head import ScalarHead
from deliberate.training.policy_optimization.experience import Experience, computed, experience_of
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.figures import Tally
from deliberate.training.policy_optimization.policy_learner import PolicyLearner, left_out
from deliberate.training.policy_optimization.ppo_config import PPOConfig

VALUE = "value"
"""Where the value model lies in the model's folder."""


class PPOLearner(PolicyLearner):
    """The learner of the stage `ppo`."""

    def __init__(self, config: PPOConfig) -> None:
        super().__init__(config, reference=config.kl_coef > 0)
        self._config = config
        path = config.value_model_name_or_path or config.model_name_or_path
        self.critic = ScalarHead(path, config, "token", pad_id=self.tokenizer.pad_id)
        if config.value_learning_rate is not None:
            for _, parameter in self.critic.named_parameters():
                setattr(parameter, RATE_FACTOR, config.value_learning_rate / config.learning_rate)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        yield from self.network.named_parameters()
        for name, parameter in self.critic.named_parameters():
            yield f"{VALUE}.{name}", parameter

    def updates(self, step: int) -> Iterator[Update]:
        found = self.rounds.sample(step)
        start = time.perf_counter()
        experience = self.valued(found.groups)
        self.rounds.record.add(step + 1, found.groups, experience.means("advantages").tolist())
        values = {**found.values, **self._foresight(experience)}
        tokens, content = experience.tokens, experience.content
        passes = list(self.passes(step, len(experience.prompts)))
        for number, part in enumerate(passes, 1):
            values |= self.learn(experience, part)
            if number == len(passes):
                values["training_seconds"] = time.perf_counter() - start
            yield Update(values, tokens, content)
            values, tokens, content = {}, 0, b""

    def valued(self, groups: Sequence[ScoredGroup]) -> Experience:
        """With the columns `advantages`, `returns` and `values`, and the log-probabilities of the policy as it is."""
        config = self._config
        scores, step_values, decided = self._rewards(groups)
        experience = experience_of(groups, left_out(groups, decided, config))
        mask, learned = experience.mask, experience.mask.any(-1).nonzero().flatten().tolist()
        experience = self.recalled(experience, learned, old=True)
        values = computed(experience, config.per_device_train_batch_size, self._values, needed=learned)
        old, reference = experience.columns["old_logps"], experience.columns.get("ref_logps")
        kl = torch.zeros(mask.shape) if reference is None else kl_divergence(old, reference, mask, "k1")
        rewards = token_rewards(scores, kl, mask, config.kl_coef) + step_values.masked_fill(~mask, 0.0)
        advantages, returns = generalized_advantages(rewards, values, mask, gamma=config.gamma, lam=config.lam)
        if config.whiten_advantages:
            advantages = whiten(advantages, mask)
        return experience.with_columns(values=values, returns=returns, advantages=advantages, kl=kl)

    def learn(self, experience: Experience, part: Sequence[int]) -> dict[str, float]:
        """Leave the gradients of the part's losses on the parameters of both models."""
        tally = Tally()
        learned = experience.mask.any(-1).nonzero().flatten().tolist()
        loss = self.backward(experience, part, learned, "dapo", lambda rows: self._losses(rows, tally))
        return {"loss": loss, **tally.means()}

    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / VALUE).mkdir(exist_ok=True)
        self.critic.save(folder / VALUE)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self.critic.restore(folder / VALUE)

    def _rewards(self, groups: Sequence[ScoredGroup]) -> tuple[Tensor, Tensor, list[bool]]:
        """Of completions (completions,) and of steps at their last tokens (completions, tokens), and which
        completions anything was decided of."""
        rewards = self.rounds.rewards
        scores = [score for group in groups for score in rewards.outcome(group)]
        decided = [score is not None for score in scores]
        tokens = max(len(sample.token_ids) for group in groups for sample in group.samples)
        at_steps = torch.zeros(len(scores), tokens)
        by_steps = [rewards.steps(group) for group in groups]
        for number, (weight, _) in enumerate(by_steps[0]):
            rows = [row for verifiers in by_steps for row in verifiers[number][1]]
            table, judged = step_reward_table([row.ends for row in rows], [row.rewards for row in rows], tokens)
            at_steps += weight * table
            decided = [a or b for a, b in zip(decided, judged.any(-1).tolist(), strict=True)]
        return torch.tensor([score or 0.0 for score in scores]), at_steps, decided

    def _foresight(self, experience: Experience) -> dict[str, float]:
        """How well the values before the step foresaw what came."""
        mask, returns, values = experience.mask, experience.columns["returns"], experience.columns["values"]
        tally = Tally()
        tally.add(mask, kl=experience.columns["kl"], value=values)
        spread = masked_variance(returns, mask)
        unexplained = masked_variance(returns - values, mask) / spread if spread > 0 else spread
        return {**tally.means(), "explained_variance": 1 - float(unexplained)}

    def _losses(self, rows: Experience, tally: Tally) -> Tensor:
        config, thought, values = self._config, self.logps(rows), self._values(rows)
        mask, known = rows.mask.to(self.device), rows.columns_on(self.device)
        ratio = importance_ratio(thought.logps, known["old_logps"], mask)
        advantages = known["advantages"].masked_fill(~mask, 0.0)
        policy = clipped_surrogate(ratio, advantages, epsilon=config.cliprange)
        value = value_losses(values, known["values"], known["returns"], mask, config.cliprange_value)
        clipped = is_clipped(ratio.detach(), advantages, epsilon=config.cliprange)
        tally.add_clipping(mask, clipped, ratio)
        tally.add(mask, entropy=thought.entropies, policy_loss=policy, value_loss=value)
        return policy + config.vf_coef * value

    def _values(self, rows: Experience) -> Tensor:
        """Of the state before each token (completions, tokens)."""
        batch = rows.batch(self.tokenizer.pad_id, self.device)
        return batch.spread(self.critic.log_odds(self.critic.hidden(batch.input_ids)[batch.before()]))
