"""GRPO and its variants against the papers' objectives: value and gradient."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.aggregation import LossType, leave_out, token_weights
from deliberate.training.objectives.divergence import KLEstimator, kl_divergence
from deliberate.training.objectives.grpo import Samples, grpo_losses
from deliberate.training.objectives.policy_gradient import ImportanceSamplingLevel

from .agreement import Nested, assert_agree, normal, poisoned, right_padded

ROWS, TOKENS, LIMIT = 6, 7, 9


def batch(seed: int, *, of_tokens: bool = False, corrected: bool = False) -> tuple[Tensor, Samples]:
    """Log-probabilities of a policy that has moved so far that many tokens are clipped, and the samples."""
    mask = right_padded(seed, ROWS, TOKENS)
    old = -normal(seed, ROWS, TOKENS).abs()
    samples = Samples(
        mask=mask,
        advantages=poisoned(normal(seed + 1, ROWS, TOKENS), mask) if of_tokens else normal(seed + 1, ROWS, 1),
        old_logps=poisoned(old, mask),
        ref_logps=poisoned(old + normal(seed + 2, ROWS, TOKENS, scale=0.5), mask),
        correction=poisoned(normal(seed + 3, ROWS, TOKENS).abs(), mask) if corrected else None,
    )
    return old + normal(seed + 4, ROWS, TOKENS, scale=0.3), samples


def weight(loss_type: LossType, length: int, lengths: list[int]) -> float:
    """1/G * 1/|o_i| of GRPO, 1 / sum |o_i| of DAPO, 1/G * 1/L of Dr. GRPO."""
    completions = sum(length > 0 for length in lengths)
    return {
        "grpo": 1 / (completions * length),
        "dapo": 1 / sum(lengths),
        "bnpo": 1 / sum(lengths),
        "dr_grpo": 1 / (completions * LIMIT),
    }[loss_type]


def objective(
    samples: Samples,
    *,
    loss_type: LossType = "grpo",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.04,
    level: ImportanceSamplingLevel = "token",
) -> Callable[[Nested], float]:
    """DeepSeekMath's equation 3 with the variants, negated: on nested lists, token by token."""
    lengths = samples.mask.sum(-1).tolist()
    old, ref = known(samples.old_logps), known(samples.ref_logps)
    advantages = samples.advantages.expand(ROWS, TOKENS).tolist()
    correction = None if samples.correction is None else samples.correction.tolist()
    highest = 1 + (epsilon if epsilon_high is None else epsilon_high)

    def loss(logps: Nested) -> float:
        total = 0.0
        for i, length in enumerate(lengths):
            logs = [logps[i][t] - old[i][t] for t in range(length)]
            for t in range(length):
                ratio = math.exp(logs[t] if level == "token" else sum(logs) / length)
                advantage = advantages[i][t]
                gain = min(ratio * advantage, min(max(ratio, 1 - epsilon), highest) * advantage)
                factor = 1.0 if correction is None else correction[i][t]
                kl = math.exp(ref[i][t] - logps[i][t]) - (ref[i][t] - logps[i][t]) - 1
                total -= weight(loss_type, length, lengths) * (factor * gain - beta * kl)
        return total

    return loss


def known(values: Tensor | None) -> Nested:
    assert values is not None
    return values.tolist()


VARIANTS: dict[str, dict[str, Any]] = {
    "DeepSeekMath": {},
    "without KL": {"beta": 0.0},
    "Dr. GRPO": {"loss_type": "dr_grpo", "beta": 0.0},
    "DAPO": {"loss_type": "dapo", "beta": 0.0, "epsilon_high": 0.28},
    "BNPO": {"loss_type": "bnpo"},
    "GSPO": {"level": "sequence", "beta": 0.0, "epsilon": 0.05, "epsilon_high": 0.08},
    "everything": {"loss_type": "dapo", "epsilon": 0.1, "epsilon_high": 0.3, "beta": 0.2, "level": "sequence"},
}


def summed(samples: Samples, options: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    options = dict(options)
    weights = token_weights(samples.mask, options.pop("loss_type", "grpo"), LIMIT)
    level = options.pop("level", "token")
    return lambda logps: (grpo_losses(logps, samples, importance_sampling_level=level, **options).loss * weights).sum()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("of_tokens", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_value_and_gradient_are_the_papers(variant: str, of_tokens: bool, corrected: bool, seed: int) -> None:
    logps, samples = batch(100 * seed, of_tokens=of_tokens, corrected=corrected)
    options = VARIANTS[variant]
    assert_agree(summed(samples, options), objective(samples, **options), logps)
    terms = grpo_losses(logps, samples)
    assert 0 < terms.clipped.sum() < samples.mask.sum()


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_agrees_too(variant: str) -> None:
    logps, samples = batch(7)
    single = changed(samples, Tensor.float)
    value = summed(single, VARIANTS[variant])(logps.float())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(objective(samples, **VARIANTS[variant])(logps.tolist()), abs=1e-6)


def changed(samples: Samples, how: Callable[[Tensor], Tensor]) -> Samples:
    """The same with `how` done to all that are not masks."""

    def maybe(values: Tensor | None) -> Tensor | None:
        return None if values is None else how(values)

    old, ref, correction = map(maybe, (samples.old_logps, samples.ref_logps, samples.correction))
    return Samples(samples.mask, how(samples.advantages), old, ref, correction)


@pytest.mark.parametrize("variant", VARIANTS)
def test_micro_batches_add_up_to_the_batch(variant: str) -> None:
    logps, samples = batch(11, of_tokens=True, corrected=True)
    options = dict(VARIANTS[variant])
    weights = token_weights(samples.mask, options.pop("loss_type", "grpo"), LIMIT)
    level = options.pop("level", "token")
    total = torch.zeros((), dtype=torch.float64)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        part = replace(changed(samples, lambda values, rows=rows: values[rows]), mask=samples.mask[rows])
        losses = grpo_losses(logps[rows], part, importance_sampling_level=level, **options).loss
        total += (losses * weights[rows]).sum()
    torch.testing.assert_close(total, summed(samples, VARIANTS[variant])(logps))


def test_fresh_samples_have_a_ratio_of_one_and_the_plain_policy_gradient() -> None:
    logps, samples = batch(3)
    logps.requires_grad_()
    terms = grpo_losses(logps, replace(samples, old_logps=None, ref_logps=None))
    assert (terms.ratio == 1).all()
    assert not terms.clipped.any()
    (gradient,) = torch.autograd.grad(terms.loss.sum(), logps)
    torch.testing.assert_close(gradient, -samples.advantages.expand(ROWS, TOKENS) * samples.mask)


@pytest.mark.parametrize("epsilon_high", [None, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_of_the_loss_and_have_no_gradient(seed: int, epsilon_high: float | None) -> None:
    """Tokens are clipped where nothing of the loss is left to differentiate."""
    logps, samples = batch(seed)
    logps.requires_grad_()
    terms = grpo_losses(logps, samples, beta=0.0, epsilon_high=epsilon_high)
    (gradient,) = torch.autograd.grad(terms.loss.sum(), logps)
    assert samples.old_logps is not None
    assert samples.ref_logps is not None
    assert torch.equal(terms.clipped, samples.mask & (gradient == 0))
    assert not terms.ratio.requires_grad
    assert not terms.kl.requires_grad
    torch.testing.assert_close(terms.ratio[samples.mask], (logps - samples.old_logps).exp()[samples.mask])
    assert torch.equal(terms.kl, kl_divergence(logps, samples.ref_logps, samples.mask))


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_divergence_estimators(estimator: KLEstimator) -> None:
    logps, samples = batch(5)
    assert samples.ref_logps is not None
    mask, ref = samples.mask, samples.ref_logps

    def reference(values: Nested) -> float:
        total = 0.0
        for i, row in enumerate(mask.tolist()):
            for t, counted in enumerate(row):
                if counted:
                    x = float(ref[i, t]) - values[i][t]
                    total += {"k1": -x, "k2": x * x / 2, "k3": math.exp(x) - x - 1}[estimator]
        return total

    assert_agree(lambda values: kl_divergence(values, ref, mask, estimator).sum(), reference, logps)


def test_k1_and_k3_estimate_the_divergence_itself() -> None:
    """Exactly, by expectation over a vocabulary."""
    p, q = normal(1, 50).log_softmax(-1), normal(2, 50).log_softmax(-1)
    exact = (p.exp() * (p - q)).sum()
    everywhere = torch.ones(50, dtype=torch.bool)
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((p.exp() * kl_divergence(p, q, everywhere, estimator)).sum(), exact)


def test_nothing_in_the_mask_is_no_loss_and_no_gradient() -> None:
    logps, samples = batch(2)
    logps.requires_grad_()
    empty = replace(samples, mask=torch.zeros_like(samples.mask))
    for loss_type in ("grpo", "dapo", "bnpo", "dr_grpo"):
        loss = (grpo_losses(logps, empty).loss * token_weights(empty.mask, loss_type, LIMIT)).sum()
        (gradient,) = torch.autograd.grad(loss, logps)
        assert loss.item() == 0.0
        assert not gradient.any()


def test_completions_left_out_are_as_if_they_were_not_there() -> None:
    _, samples = batch(9)
    truncated = torch.tensor([False, True, False, False, True, False])
    rows = [0, 2, 3, 5]
    for loss_type in ("grpo", "dapo", "dr_grpo"):
        weights = token_weights(leave_out(samples.mask, truncated), loss_type, LIMIT)
        assert not weights[truncated].any()
        torch.testing.assert_close(weights[rows], token_weights(samples.mask[rows], loss_type, LIMIT))


def test_dr_grpo_needs_the_greatest_length() -> None:
    with pytest.raises(ValueError, match="max_completion_length"):
        token_weights(torch.ones(2, 3, dtype=torch.bool), "dr_grpo")


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("gap", [-1e4, -100.0, 100.0, 1e4])
def test_extreme_ratios_stay_finite(level: ImportanceSamplingLevel, gap: float) -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    old = torch.full((2, 3), -1e4 if gap > 0 else -1.0)
    logps = (old + gap).requires_grad_()
    samples = Samples(mask, torch.tensor([[1.0], [-1.0]]), old, old)
    terms = grpo_losses(logps, samples, importance_sampling_level=level)
    (gradient,) = torch.autograd.grad(terms.loss.sum(), logps)
    assert torch.isfinite(terms.loss).all()
    assert torch.isfinite(terms.kl).all()
    assert torch.isfinite(gradient).all()


def test_bfloat16_is_computed_in_float32_under_autocast() -> None:
    logps, samples = batch(4)
    half, wide = changed(samples, Tensor.bfloat16), changed(samples, lambda values: values.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        loss = grpo_losses(logps.bfloat16(), half).loss
    assert loss.dtype == torch.float32
    assert torch.equal(loss, grpo_losses(logps.bfloat16().float(), wide).loss)
