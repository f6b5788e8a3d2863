"""What learners have in common that learn from the policy's own samples: the policy, its samples, passes over them."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from deliberate.training.objectives.aggregation import LossType, token_weights
from deliberate.training.optimization import processes
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.logps import TokenLogps, completion_logps
from deliberate.training.policies.network import load_policy
from deliberate.training.policy_optimization.config import SampledConfig
from deliberate.training.policy_optimization.experience import Experience, computed, micro_batches
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.reference import Reference
from deliberate.training.policy_optimization.rounds import Rounds

Losses = Callable[[Experience], Tensor]
"""The loss of each token (completions, tokens), with gradient, 0 where nothing is learned."""


class PolicyLearner:
    """Use it in a `with` block."""

    def __init__(self, config: SampledConfig, *, reference: bool, replaced: bool = False) -> None:
        """`reference`: keep what the policy began as; `replaced`: another one takes its place from time to time.

        Raises BadData or InvalidRequest for data, verifiers or models that cannot be had.
        """
        self._base = config
        self.tokenizer = ChatTokenizer(config.model_name_or_path)
        self.network = load_policy(config)
        self.device = self.network.device
        self.reference = Reference(self.network, replaced=replaced) if reference else None
        self.rounds = Rounds(config, self.network, self.tokenizer)

    def save(self, folder: Path) -> None:
        self.network.save(folder)
        if self.reference is not None:
            self.reference.save(folder)

    def restore(self, folder: Path) -> None:
        self.network.restore(folder)
        if self.reference is not None:
            self.reference.restore(folder)

    def logps(self, rows: Experience, model: Any = None) -> TokenLogps:
        """Of the completions' tokens under the policy, or another model."""
        return completion_logps(
            self.network.model if model is None else model,
            rows.batch(self.tokenizer.pad_id, self.device),
            temperature=self._base.temperature,
            bf16=self._base.bf16,
        )

    def recalled(self, experience: Experience, learned: Sequence[int], *, old: bool) -> Experience:
        """With the log-probabilities of the reference, where there is one, and with `old` of the policy as it is."""
        size = self._base.per_device_train_batch_size
        if self.reference is not None:
            with self.reference.model() as model:
                logps = computed(experience, size, lambda rows: self.logps(rows, model).logps, needed=learned)
            experience = experience.with_columns(ref_logps=logps)
        if old:
            logps = computed(experience, size, lambda rows: self.logps(rows).logps, needed=learned)
            experience = experience.with_columns(old_logps=logps)
        return experience

    def passes(self, step: int, count: int) -> Iterator[list[int]]:
        """Which of `count` completions each update of the step learns from."""
        for iteration in range(self._base.num_iterations):
            rng = random.Random(f"pass:{self._base.seed}:{step}:{iteration}")
            yield from parts(count, self._base.steps_per_generation, rng)

    def backward(
        self, experience: Experience, part: Sequence[int], learned: Sequence[int], loss_type: LossType, losses: Losses
    ) -> float:
        """Leave the gradient of the part's loss on the parameters; the loss.

        It is that of the whole part, however it is cut into micro-batches and shared by processes, each of which leaves
        the gradient of its share. Only what is `learned` has a gradient and goes through the model.
        """
        config, chosen = self._base, list(part)
        weights = torch.zeros(experience.mask.shape)
        weights[chosen] = token_weights(experience.mask[chosen], loss_type, config.max_completion_length)
        weighted = experience.with_columns(weights=weights)
        loss = torch.zeros((), dtype=torch.float64)
        for share in micro_batches(
            experience.lengths, sorted(set(part) & set(learned)), config.per_device_train_batch_size
        ):
            rows = weighted.rows(share.items)
            found = losses(rows.unlearned() if share.spare else rows)
            lost = (found * rows.columns["weights"].to(self.device)).sum()
            lost.backward()  # pyright: ignore[reportUnknownMemberType]
            loss += share.weight * lost.item()
        return processes.summed(loss).item()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rounds.__exit__(kind, error, trace)


def left_out(groups: Sequence[ScoredGroup], decided: Sequence[bool], config: SampledConfig) -> list[bool]:
    """Completions of which nothing is learned: those that nobody could judge, and, if so configured, truncated ones."""
    truncated = [sample.finish.reason != "stop" for group in groups for sample in group.samples]
    return [
        not known or (cut and config.mask_truncated_completions) for known, cut in zip(decided, truncated, strict=True)
    ]


def parts(count: int, number: int, rng: random.Random) -> Iterator[list[int]]:
    """Indices below `count` in `number` lots of almost the same size, shuffled where there are several."""
    order = list(range(count))
    if number > 1:
        rng.shuffle(order)
    for part in range(number):
        chosen = order[part * count // number : (part + 1) * count // number]
        if chosen:
            yield chosen
