"""Training with the objectives: equal seeds give equal losses, step after step, and rewards rise.

A linear policy over nine tokens writes completions of up to eight; the reward is the number of times that one
token stands in them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.advantages import group_advantages
from deliberate.training.objectives.aggregation import LossType, token_weights
from deliberate.training.objectives.best_of_n_advantages import best_of_n_advantages
from deliberate.training.objectives.grpo import Samples, grpo_losses
from deliberate.training.objectives.masking import whiten
from deliberate.training.objectives.ppo import generalized_advantages, value_losses
from deliberate.training.objectives.step_advantages import step_advantages

GOLDEN = Path(__file__).parent / "golden-losses.json"
STEPS, GROUPS, SIZE, LENGTH, VOCABULARY, END, WANTED = 20, 4, 8, 8, 9, 0, 1


@dataclass
class Run:
    """A policy in training, its samples drawn from a seed."""

    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    rewards: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        shape = (LENGTH * VOCABULARY, VOCABULARY)
        start = torch.randn(*shape, generator=self.generator, dtype=torch.float64) * 0.5
        self.policy, self.reference = start.clone().requires_grad_(), start
        self.critic = torch.zeros(LENGTH * VOCABULARY, dtype=torch.float64, requires_grad=True)

    def sample(self) -> tuple[Tensor, Tensor]:
        """Tokens and mask (completions, tokens); the token END is part of a completion, as its last."""
        ids = torch.zeros(GROUPS * SIZE, 0, dtype=torch.long)
        for _ in range(LENGTH):
            chances = self.policy.detach()[states(ids)[:, -1]].softmax(-1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=self.generator)], -1)
        ended = (ids == END).long().cumsum(-1)
        return ids, ended - (ids == END).long() == 0

    def update(self, ids: Tensor, samples: Samples, weights: Tensor, options: dict[str, Any]) -> float:
        """A step of gradient descent on the samples; the loss before it."""
        loss = (grpo_losses(logps(self.policy, ids), samples, **options).loss * weights).sum()
        (gradient,) = torch.autograd.grad(loss, self.policy)
        self.policy = (self.policy.detach() - 5 * gradient).requires_grad_()
        return loss.item()


def states(ids: Tensor) -> Tensor:
    """Of each token to be written: its place and the token before it, as an index (completions, tokens + 1)."""
    before = torch.nn.functional.pad(ids, (1, 0), value=END)
    return torch.arange(before.shape[-1]).clamp(max=LENGTH - 1) * VOCABULARY + before


def logps(weights: Tensor, ids: Tensor) -> Tensor:
    return weights[states(ids)[:, :-1]].log_softmax(-1).gather(-1, ids[..., None])[..., 0]


def outcome(ids: Tensor, mask: Tensor) -> Tensor:
    """(completions,)"""
    return ((ids == WANTED) & mask).sum(-1).double()


def of_groups(advantages: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Run, Tensor, Tensor], Tensor]:
    def of_run(run: Run, ids: Tensor, mask: Tensor) -> Tensor:
        rewards = outcome(ids, mask).view(GROUPS, SIZE)
        return advantages(rewards, torch.ones_like(rewards, dtype=torch.bool)).view(-1, 1)

    return of_run


def of_steps(run: Run, ids: Tensor, mask: Tensor) -> Tensor:
    """Every token is a step."""
    shape = (GROUPS, SIZE, LENGTH)
    return step_advantages((ids == WANTED).double().view(shape), mask.view(shape)).view(-1, LENGTH)


def of_critic(run: Run, ids: Tensor, mask: Tensor) -> Tensor:
    """GAE, with a step of the critic on the value loss."""
    values = run.critic[states(ids)[:, :-1]]
    rewards = ((ids == WANTED) & mask).double()
    advantages, returns = generalized_advantages(rewards, values, mask, lam=0.95)
    losses = value_losses(values, values.detach(), returns, mask)
    (gradient,) = torch.autograd.grad(losses.sum() / mask.sum(), run.critic)
    run.critic = (run.critic.detach() - 5 * gradient).requires_grad_()
    return whiten(advantages, mask)


@dataclass(frozen=True)
class Variant:
    advantages: Callable[[Run, Tensor, Tensor], Tensor]
    loss_type: LossType = "grpo"
    options: dict[str, Any] = field(default_factory=dict[str, Any])


VARIANTS = {
    "grpo": Variant(of_groups(group_advantages)),
    "grpo with process supervision": Variant(of_steps),
    "dr_grpo": Variant(of_groups(lambda r, d: group_advantages(r, d, scale_rewards="none")), "dr_grpo", {"beta": 0.0}),
    "dapo": Variant(of_groups(group_advantages), "dapo", {"beta": 0.0, "epsilon_high": 0.28}),
    "gspo": Variant(of_groups(group_advantages), "grpo", {"importance_sampling_level": "sequence", "beta": 0.0}),
    "best of 4": Variant(of_groups(lambda r, d: best_of_n_advantages(r, d, 4))),
    "ppo": Variant(of_critic, "dapo", {"beta": 0.0}),
}


def train(variant: Variant) -> tuple[list[float], list[float]]:
    """Losses, of the second of two updates on the samples of each step, and mean rewards."""
    run, losses = Run(), list[float]()
    for _ in range(STEPS):
        ids, mask = run.sample()
        run.rewards.append(outcome(ids, mask).mean().item())
        samples = Samples(
            mask,
            variant.advantages(run, ids, mask),
            logps(run.policy, ids).detach(),
            logps(run.reference, ids),
        )
        weights = token_weights(mask, variant.loss_type, LENGTH)
        run.update(ids, samples, weights, variant.options)
        losses.append(run.update(ids, samples, weights, variant.options))
    return losses, run.rewards


@pytest.fixture(scope="module")
def golden() -> dict[str, list[float]]:
    """After a wanted change delete the file, run the tests, and read the difference."""
    if not GOLDEN.exists():
        found = {name: [round(loss, 7) for loss in train(variant)[0]] for name, variant in VARIANTS.items()}
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        pytest.fail(f"{GOLDEN} was missing and is now written: read it, then run again")
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", VARIANTS)
def test_equal_seeds_give_equal_losses_and_rewards_rise(name: str, golden: dict[str, list[float]]) -> None:
    losses, rewards = train(VARIANTS[name])
    assert losses == pytest.approx(golden[name], abs=1e-5)
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.5
