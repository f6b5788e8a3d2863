"""A policy that learns by group relative policy optimisation: a round of samples in each step, then its updates."""

import time
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from deliberate.training.objectives.advantages import group_advantages
from deliberate.training.objectives.best_of_n_advantages import best_of_n_advantages
from deliberate.training.objectives.grpo import Samples, grpo_losses
from deliberate.training.objectives.rollout_correction import importance_sampling_correction
from deliberate.training.optimization.loop import Update
from deliberate.training.policy_optimization.credit import outcome_advantages, process_advantages
from deliberate.training.policy_optimization.experience import Experience, experience_of
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.figures import Tally
from deliberate.training.policy_optimization.grpo_config import GRPOConfig
from deliberate.training.policy_optimization.policy_learner import PolicyLearner, left_out
from deliberate.training.policy_optimization.signal import SignalWatch


class GRPOLearner(PolicyLearner):
    """The learner of the stage `grpo`."""

    def __init__(self, config: GRPOConfig) -> None:
        super().__init__(config, reference=config.beta > 0, replaced=config.sync_ref_model)
        self._config = config
        self._signal = SignalWatch(config.max_steps_without_signal)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self.network.named_parameters()

    def updates(self, step: int) -> Iterator[Update]:
        self._renew_reference(step)
        config = self._config
        found = self.rounds.sample(step, useful_only=config.filter_groups, attempts=config.max_num_gen_batches)
        self._signal.see(step + 1, found.drawn, self.rounds.rewards)
        if not found.groups:
            yield Update(found.values)
            return
        start = time.perf_counter()
        experience = self.credited(found.groups)
        means = experience.means("advantages")
        self.rounds.record.add(step + 1, found.groups, means.tolist())
        values = {**found.values, "advantage_std": means.std().item()}
        learned = self._learned(experience)
        experience = self.recalled(experience, learned, old=config.updates_per_step > 1)
        tokens, content = experience.tokens, experience.content
        passes = list(self.passes(step, len(experience.prompts)))
        for number, part in enumerate(passes, 1):
            values |= self.learn(experience, part, learned)
            if number == len(passes):
                values["training_seconds"] = time.perf_counter() - start
            yield Update(values, tokens, content)
            values, tokens, content = {}, 0, b""

    def credited(self, groups: Sequence[ScoredGroup]) -> Experience:
        """With the column `advantages`; without what could not be judged, or is not to be learned from."""
        rewards = self.rounds.rewards
        advantages, decided = outcome_advantages([rewards.outcome(group) for group in groups], self._advantages)
        by_steps = [rewards.steps(group) for group in groups]
        tokens = max(len(sample.token_ids) for group in groups for sample in group.samples)
        for number, (weight, _) in enumerate(by_steps[0]):
            of_steps, judged = process_advantages([verifiers[number][1] for verifiers in by_steps], tokens)
            advantages, decided = advantages + weight * of_steps, decided | judged
        experience = experience_of(groups, left_out(groups, decided.tolist(), self._config))
        return experience.with_columns(advantages=advantages)

    def learn(self, experience: Experience, part: Sequence[int], learned: Sequence[int]) -> dict[str, float]:
        """Leave the gradient of the part's loss on the parameters."""
        tally = Tally()
        loss = self.backward(experience, part, learned, self._config.loss_type, lambda rows: self._losses(rows, tally))
        return {"loss": loss, **tally.means()}

    def _renew_reference(self, step: int) -> None:
        """Iterative GRPO."""
        config = self._config
        if self.reference is not None and config.sync_ref_model and step and step % config.ref_model_sync_steps == 0:
            self.reference.approach(config.ref_model_mixup_alpha)

    def _advantages(self, rewards: Tensor, decided: Tensor) -> Tensor:
        if self._config.best_of_n is not None:
            return best_of_n_advantages(rewards, decided, self._config.best_of_n)
        return group_advantages(rewards, decided, scale_rewards=self._config.scale_rewards)

    def _learned(self, experience: Experience) -> list[int]:
        """The completions that have a gradient: with no divergence to keep down, those with advantages."""
        counted = experience.mask
        if self.reference is None:
            counted = counted & (experience.columns["advantages"] != 0)
        return counted.any(-1).nonzero().flatten().tolist()

    def _losses(self, rows: Experience, tally: Tally) -> Tensor:
        config, thought = self._config, self.logps(rows)
        mask, known = rows.mask.to(self.device), rows.columns_on(self.device)
        old = known.get("old_logps")
        correction = None
        if config.importance_sampling_correction:
            correction = importance_sampling_correction(
                thought.logps.detach() if old is None else old,
                known["sampling_logps"],
                mask,
                config.importance_sampling_mode,
                config.importance_sampling_cap,
            )
            tally.add(mask, sampling_ratio=correction)
        losses = grpo_losses(
            thought.logps,
            Samples(mask, known["advantages"], old, known.get("ref_logps"), correction),
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            beta=config.beta,
            importance_sampling_level=config.importance_sampling_level,
        )
        tally.add_clipping(mask, losses.clipped, losses.ratio)
        tally.add(mask, entropy=thought.entropies)
        if self.reference is not None:
            tally.add(mask, kl=losses.kl)
        return losses.loss
