"""A policy that learns by group relative policy optimisation: a round of samples in each step, then its updates."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from deliberate.training.objectives.advantages import group_advantages
from deliberate.training.objectives.aggregation import token_weights
from deliberate.training.objectives.best_of_n_advantages import best_of_n_advantages
from deliberate.training.objectives.grpo import Samples, grpo_losses
from deliberate.training.objectives.rollout_correction import importance_sampling_correction
from deliberate.training.optimization.loop import Update
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.logps import TokenLogps, completion_logps
from deliberate.training.policies.network import load_policy
from deliberate.training.policy_optimization.credit import outcome_advantages, process_advantages
from deliberate.training.policy_optimization.experience import Experience, computed, experience_of, micro_batches
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.figures import Tally
from deliberate.training.policy_optimization.grpo_config import GRPOConfig
from deliberate.training.policy_optimization.passes import parts
from deliberate.training.policy_optimization.reference import Reference
from deliberate.training.policy_optimization.rounds import Rounds
from deliberate.training.policy_optimization.signal import SignalWatch


class GRPOLearner:
    """Use it in a `with` block."""

    def __init__(self, config: GRPOConfig) -> None:
        """Raises BadData or InvalidRequest for data, verifiers or models that cannot be had."""
        self._config = config
        self.tokenizer = ChatTokenizer(config.model_name_or_path)
        self.network = load_policy(config)
        self.device = self.network.device
        self._reference = Reference(self.network, replaced=config.sync_ref_model) if config.beta else None
        self._signal = SignalWatch(config.max_steps_without_signal)
        self.rounds = Rounds(config, self.network, self.tokenizer)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        return self.network.named_parameters()

    def updates(self, step: int) -> Iterator[Update]:
        self._follow(step)
        found = self.rounds.sample(
            step, useful_only=self._config.filter_groups, attempts=self._config.max_num_gen_batches
        )
        start = time.perf_counter()
        self._signal.see(step + 1, found.groups, self.rounds.rewards)
        if not found.groups:
            yield Update(found.values)
            return
        experience = self._credited(found.groups)
        advantages = experience.columns["advantages"]
        means = (advantages * experience.mask).sum(-1) / experience.mask.sum(-1).clamp(min=1)
        self.rounds.record.add(step + 1, found.groups, means.tolist())
        found.values["advantage_std"] = means.std().item()
        learned = self._learned(experience)
        experience = self._recalled(experience, learned)
        passes = list(self._passes(step, len(experience.prompts)))
        for number, part in enumerate(passes):
            values = self._update(experience, part, learned)
            first, last = number == 0, number == len(passes) - 1
            values = {**values, **(found.values if first else {})}
            if last:
                values["training_seconds"] = time.perf_counter() - start
            yield Update(values, experience.tokens if first else 0, experience.content if first else b"")

    def save(self, folder: Path) -> None:
        self.network.save(folder)
        if self._reference is not None:
            self._reference.save(folder)

    def restore(self, folder: Path) -> None:
        self.network.restore(folder)
        if self._reference is not None:
            self._reference.restore(folder)

    def _follow(self, step: int) -> None:
        """Iterative GRPO: a new reference."""
        config = self._config
        if self._reference is not None and config.sync_ref_model and step and step % config.ref_model_sync_steps == 0:
            self._reference.approach(config.ref_model_mixup_alpha)

    def _credited(self, groups: Sequence[ScoredGroup]) -> Experience:
        """With the column `advantages`; without what could not be judged, or is not to be learned from."""
        rewards = self.rounds.rewards
        outcomes, decided = outcome_advantages([rewards.outcome(group) for group in groups], self._advantages)
        tokens = max(len(sample.token_ids) for group in groups for sample in group.samples)
        advantages = outcomes.expand(-1, tokens)
        by_steps = [rewards.steps(group) for group in groups]
        for number in range(len(by_steps[0])):
            weight = by_steps[0][number][0]
            of_steps, judged = process_advantages([verifiers[number][1] for verifiers in by_steps], tokens)
            advantages = advantages + weight * of_steps
            decided = decided | judged
        truncated = [sample.finish.reason != "stop" for group in groups for sample in group.samples]
        left_out = [
            not known or (cut and self._config.mask_truncated_completions)
            for known, cut in zip(decided.tolist(), truncated, strict=True)
        ]
        return experience_of(groups, left_out).with_columns(advantages=advantages)

    def _advantages(self, rewards: Tensor, decided: Tensor) -> Tensor:
        if self._config.best_of_n is not None:
            return best_of_n_advantages(rewards, decided, self._config.best_of_n)
        return group_advantages(rewards, decided, scale_rewards=self._config.scale_rewards)

    def _learned(self, experience: Experience) -> list[int]:
        """The completions that have a gradient: with no divergence to keep down, those with advantages."""
        counted = experience.mask
        if not self._config.beta:
            counted = counted & (experience.columns["advantages"] != 0)
        return counted.any(-1).nonzero().flatten().tolist()

    def _recalled(self, experience: Experience, learned: Sequence[int]) -> Experience:
        """With the log-probabilities of the reference, and of the policy where updates will have changed it."""
        size = self._config.per_device_train_batch_size
        if self._reference is not None:
            with self._reference.model() as model:
                logps = computed(experience, size, lambda rows: self._logps(rows, model).logps, needed=learned)
            experience = experience.with_columns(ref_logps=logps)
        if self._config.updates_per_step > 1:
            logps = computed(experience, size, lambda rows: self._logps(rows).logps, needed=learned)
            experience = experience.with_columns(old_logps=logps)
        return experience

    def _passes(self, step: int, count: int) -> Iterator[list[int]]:
        for iteration in range(self._config.num_iterations):
            rng = random.Random(f"pass:{self._config.seed}:{step}:{iteration}")
            yield from parts(count, self._config.steps_per_generation, rng)

    def _update(self, experience: Experience, part: Sequence[int], learned: Sequence[int]) -> dict[str, float]:
        """Leave the gradient of the part's loss on the parameters."""
        config, tally, loss = self._config, Tally(), 0.0
        weights = torch.zeros(experience.mask.shape)
        weights[list(part)] = token_weights(experience.mask[list(part)], config.loss_type, config.max_completion_length)
        weighted = experience.with_columns(weights=weights)
        among = sorted(set(part) & set(learned))
        for lot in micro_batches(experience.lengths, among, config.per_device_train_batch_size):
            share = self._loss(weighted.rows(lot), tally)
            share.backward()  # pyright: ignore[reportUnknownMemberType]
            loss += share.item()
        return {"loss": loss, **tally.means}

    def _loss(self, rows: Experience, tally: Tally) -> Tensor:
        config = self._config
        thought = self._logps(rows)
        mask = rows.mask.to(self.device)
        known = {name: values.to(self.device) for name, values in rows.columns.items()}
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
        samples = Samples(mask, known["advantages"], old, known.get("ref_logps"), correction)
        losses = grpo_losses(
            thought.logps,
            samples,
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            beta=config.beta,
            importance_sampling_level=config.importance_sampling_level,
        )
        above = losses.clipped & (losses.ratio > 1)
        tally.add(
            mask,
            entropy=thought.entropies,
            clip_fraction=losses.clipped,
            clip_fraction_low=losses.clipped & ~above,
            clip_fraction_high=above,
            **({"kl": losses.kl} if self._reference is not None else {}),
            **({} if correction is None else {"sampling_ratio": correction}),
        )
        return (losses.loss * known["weights"]).sum()

    def _logps(self, rows: Experience, model: object = None) -> TokenLogps:
        """Under the policy, or another model."""
        config = self._config
        batch = rows.batch(self.tokenizer.pad_id, self.device)
        return completion_logps(
            self.network.model if model is None else model, batch, temperature=config.temperature, bf16=config.bf16
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rounds.__exit__(kind, error, trace)
