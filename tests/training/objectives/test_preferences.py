"""DPO, IPO and SPIN against their equations."""

import math

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.preferences import (
    PreferenceLoss,
    completion_logps,
    dpo_losses,
    implicit_rewards,
    spin_losses,
)

from .agreement import Nested, assert_agree, normal, poisoned, right_padded, sigmoid

PAIRS, TOKENS = 4, 6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize(("loss_type", "label_smoothing"), [("sigmoid", 0.0), ("sigmoid", 0.2), ("ipo", 0.0)])
def test_losses_of_pairs(seed: int, beta: float, loss_type: PreferenceLoss, label_smoothing: float) -> None:
    """From tokens to the mean loss; the chosen completions are the first rows, the rejected ones the last."""
    mask = right_padded(seed, 2 * PAIRS, TOKENS)
    ref = -normal(seed + 1, 2 * PAIRS, TOKENS).abs()

    def loss(logps: Tensor) -> Tensor:
        chosen, rejected = completion_logps(logps, mask).chunk(2)
        ref_chosen, ref_rejected = completion_logps(poisoned(ref, mask), mask).chunk(2)
        return dpo_losses(
            chosen, rejected, ref_chosen, ref_rejected, beta=beta, loss_type=loss_type, label_smoothing=label_smoothing
        ).mean()

    def reference(logps: Nested) -> float:
        lengths = mask.sum(-1).tolist()
        ratios = [sum(logps[i][t] - float(ref[i, t]) for t in range(lengths[i])) for i in range(2 * PAIRS)]
        total = 0.0
        for i in range(PAIRS):
            h = ratios[i] - ratios[PAIRS + i]
            if loss_type == "ipo":
                total += (h - 1 / (2 * beta)) ** 2
            else:
                total -= (1 - label_smoothing) * math.log(sigmoid(beta * h))
                total -= label_smoothing * math.log(sigmoid(-beta * h))
        return total / PAIRS

    assert_agree(loss, reference, ref + normal(seed + 2, 2 * PAIRS, TOKENS))


def test_spin_prefers_the_data_to_the_opponent() -> None:
    """Equation 4.7: log(1 + exp(-t)) of the scaled difference of log-ratios."""
    opponent = normal(1, 2, PAIRS)

    def reference(logps: Nested) -> float:
        total = 0.0
        for i in range(PAIRS):
            t = 0.3 * (logps[0][i] - float(opponent[0, i])) - 0.3 * (logps[1][i] - float(opponent[1, i]))
            total += math.log(1 + math.exp(-t))
        return total

    assert_agree(lambda logps: spin_losses(*logps, *opponent, beta=0.3).sum(), reference, normal(2, 2, PAIRS))


def test_implicit_rewards_are_scaled_log_ratios() -> None:
    rewards = implicit_rewards(torch.tensor([-1.0, -2.0]).bfloat16(), torch.tensor([-1.5, -1.0]), beta=0.5)
    assert rewards.dtype == torch.float32
    assert rewards.tolist() == [0.25, -0.5]


@pytest.mark.parametrize("gap", [-1e5, 1e5])
def test_extreme_ratios_stay_finite(gap: float) -> None:
    chosen = torch.tensor([gap], requires_grad=True)
    zero = torch.zeros(1)
    for label_smoothing in (0.0, 0.1):
        loss = dpo_losses(chosen, zero, zero, zero, label_smoothing=label_smoothing).sum()
        (gradient,) = torch.autograd.grad(loss, chosen)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
