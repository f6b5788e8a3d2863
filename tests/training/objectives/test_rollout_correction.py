"""Truncated importance sampling against min(p_trainer / p_engine, cap), in each of TRL's modes."""

import math

import pytest
import torch

from deliberate.training.objectives.rollout_correction import ImportanceSamplingMode, importance_sampling_correction

from .agreement import normal, poisoned, right_padded

MODES: tuple[ImportanceSamplingMode, ...] = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
def test_factors(mode: ImportanceSamplingMode, seed: int) -> None:
    mask = right_padded(seed, 6, 5)
    trainer, engine = normal(seed + 1, 6, 5), normal(seed + 2, 6, 5)
    factors = importance_sampling_correction(
        poisoned(trainer, mask).requires_grad_(), poisoned(engine, mask), mask, mode, cap=1.5
    )
    assert not factors.requires_grad
    for i, length in enumerate(mask.sum(-1).tolist()):
        logs = [float(trainer[i, t] - engine[i, t]) for t in range(length)]
        for t in range(5):
            ratio = math.exp(logs[t] if mode.startswith("token") else sum(logs)) if t < length else 0.0
            beyond = 1.5 if mode.endswith("truncate") else 0.0
            assert factors[i, t].item() == pytest.approx(ratio if ratio <= 1.5 else beyond)


@pytest.mark.parametrize("mode", MODES)
def test_extremes_stay_finite(mode: ImportanceSamplingMode) -> None:
    mask = torch.ones(2, 2, dtype=torch.bool)
    gap = torch.tensor([[1e4, 1e4], [-1e4, -1e4]])
    factors = importance_sampling_correction(gap, torch.zeros(2, 2), mask, mode, cap=2.0)
    beyond = 2.0 if mode.endswith("truncate") else 0.0
    assert factors.tolist() == [[beyond, beyond], [0.0, 0.0]]
