"""Losses of reward models, of outcomes and of steps, against their equations."""

import itertools
import math
import random

import pytest
import torch
from torch import Tensor

from deliberate.training.objectives.implicit_rewards import implicit_outcome_loss, implicit_step_rewards
from deliberate.training.objectives.reward_models import pairwise_loss, pointwise_loss, within_problem_loss
from deliberate.training.objectives.step_rewards import mark_logits, step_loss, until_first_error

from .agreement import Nested, assert_agree, normal, poisoned, right_padded, sigmoid

PROMPTS, K = 5, 4


def some(seed: int, *shape: int) -> Tensor:
    """A mask with holes, with one row that is full and one that is empty."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask[0], mask[-1] = True, False
    return mask


def cross_entropy(log_odds: float, label: float) -> float:
    return -label * math.log(sigmoid(log_odds)) - (1 - label) * math.log(1 - sigmoid(log_odds))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_margins", [False, True])
@pytest.mark.parametrize("center_rewards_coefficient", [0.0, 0.01])
@pytest.mark.parametrize("ties", [False, True])
def test_all_pairs_of_a_prompt(seed: int, with_margins: bool, center_rewards_coefficient: float, ties: bool) -> None:
    mask = some(seed, PROMPTS, K)
    quality = normal(seed + 1, PROMPTS, K)
    quality = quality.round() if ties else quality
    margins = poisoned(normal(seed + 2, PROMPTS, K, K).abs(), quality.unsqueeze(-1) > quality.unsqueeze(-2))

    def reference(rewards: Nested) -> float:
        of_prompts: list[float] = []
        for p in range(PROMPTS):
            losses: list[float] = []
            for i, j in itertools.permutations([k for k in range(K) if mask[p, k]], 2):
                if quality[p, i] > quality[p, j]:
                    margin = float(margins[p, i, j]) if with_margins else 0.0
                    loss = -math.log(sigmoid(rewards[p][i] - rewards[p][j] - margin))
                    losses.append(loss + center_rewards_coefficient * (rewards[p][i] + rewards[p][j]) ** 2)
            if losses:
                of_prompts.append(sum(losses) / len(losses))
        return sum(of_prompts) / len(of_prompts)

    def loss(rewards: Tensor) -> Tensor:
        return pairwise_loss(
            rewards,
            poisoned(quality, mask),
            mask,
            margins=margins if with_margins else None,
            center_rewards_coefficient=center_rewards_coefficient,
        )

    assert_agree(loss, reference, normal(seed + 3, PROMPTS, K))


def test_one_completion_or_equal_ones_make_no_pair() -> None:
    rewards = normal(1, 3, 1).requires_grad_()
    loss = pairwise_loss(rewards, torch.zeros(3, 1), torch.ones(3, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert rewards.grad is not None
    assert not rewards.grad.any()
    assert pairwise_loss(normal(2, 2, 3), torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)).item() == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_pointwise_with_hard_and_soft_labels(seed: int) -> None:
    mask = some(seed, PROMPTS, K)
    labels = normal(seed + 1, PROMPTS, K).sigmoid()
    labels = torch.where(labels > 0.7, 1.0, torch.where(labels < 0.3, 0.0, labels))

    def reference(rewards: Nested) -> float:
        kept = [(p, k) for p in range(PROMPTS) for k in range(K) if mask[p, k]]
        return sum(cross_entropy(rewards[p][k], float(labels[p, k])) for p, k in kept) / len(kept)

    rewards = normal(seed + 2, PROMPTS, K, scale=3)
    assert_agree(lambda values: pointwise_loss(values, poisoned(labels, mask), mask), reference, rewards)
    assert_agree(lambda values: step_loss(values, poisoned(labels, mask), mask), reference, rewards)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pointwise_weight", [0.0, 0.5])
def test_within_problem(seed: int, pointwise_weight: float) -> None:
    mask = some(seed, PROMPTS, K)
    labels = (normal(seed + 1, PROMPTS, K) > 0).double()
    labels[1] = 1.0

    def reference(rewards: Nested) -> float:
        ranking: list[float] = []
        entropies: list[float] = []
        for p in range(PROMPTS):
            right = [k for k in range(K) if mask[p, k] and labels[p, k] == 1]
            wrong = [k for k in range(K) if mask[p, k] and labels[p, k] == 0]
            if right and wrong:
                pairs = [-math.log(sigmoid(rewards[p][i] - rewards[p][j])) for i in right for j in wrong]
                ranking.append(sum(pairs) / len(pairs))
                entropies += [cross_entropy(rewards[p][k], float(labels[p, k])) for k in right + wrong]
        assert ranking
        return sum(ranking) / len(ranking) + pointwise_weight * sum(entropies) / len(entropies)

    def loss(rewards: Tensor) -> Tensor:
        return within_problem_loss(rewards, poisoned(labels, mask), mask, pointwise_weight=pointwise_weight)

    assert_agree(loss, reference, normal(seed + 2, PROMPTS, K))


def test_problems_that_are_all_right_teach_nothing() -> None:
    rewards = normal(1, 2, 3).requires_grad_()
    labels = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    within_problem_loss(rewards, labels, torch.ones(2, 3, dtype=torch.bool)).backward()
    assert rewards.grad is not None
    assert not rewards.grad[0].any()
    assert rewards.grad[1].all()


@pytest.mark.parametrize("seed", range(3))
def test_marks_are_a_softmax_of_two(seed: int) -> None:
    """Cross entropy of the marks' own distribution, the rest of the vocabulary left out."""
    good, bad, vocabulary = 3, 1, 5
    mask, labels = some(seed, PROMPTS, K), normal(seed + 1, PROMPTS, K).sigmoid()

    def reference(logits: Nested) -> float:
        losses: list[float] = []
        for p in range(PROMPTS):
            for k in range(K):
                if mask[p, k]:
                    a, b, label = math.exp(logits[p][k][good]), math.exp(logits[p][k][bad]), float(labels[p, k])
                    losses.append(-label * math.log(a / (a + b)) - (1 - label) * math.log(b / (a + b)))
        return sum(losses) / len(losses)

    assert_agree(
        lambda logits: step_loss(mark_logits(logits, good, bad), labels, mask),
        reference,
        normal(seed + 2, PROMPTS, K, vocabulary),
    )


def test_steps_after_the_first_error_are_left_out() -> None:
    rng = random.Random(1)
    labels = torch.tensor([[rng.choice([0.0, 0.4, 0.6, 1.0]) for _ in range(6)] for _ in range(20)])
    mask = right_padded(3, 20, 6)
    kept = until_first_error(poisoned(labels, mask), mask)
    for row in range(20):
        expected: list[bool] = []
        for step in range(6):
            earlier = labels[row, :step][mask[row, :step]]
            expected.append(bool(mask[row, step]) and not bool((earlier < 0.5).any()))
        assert kept[row].tolist() == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_implicit_rewards_learn_from_outcomes(seed: int, beta: float) -> None:
    mask, ref = right_padded(seed, PROMPTS, 6), -normal(seed + 1, PROMPTS, 6).abs()
    labels = (normal(seed + 2, PROMPTS) > 0).double()

    def reference(logps: Nested) -> float:
        losses: list[float] = []
        for i, length in enumerate(mask.sum(-1).tolist()):
            if length:
                reward = beta * sum(logps[i][t] - float(ref[i, t]) for t in range(length))
                losses.append(cross_entropy(reward, float(labels[i])))
        return sum(losses) / len(losses)

    assert_agree(
        lambda logps: implicit_outcome_loss(logps, poisoned(ref, mask), mask, labels, beta),
        reference,
        ref + normal(seed + 3, PROMPTS, 6),
    )


@pytest.mark.parametrize("seed", range(4))
def test_implicit_rewards_of_steps(seed: int) -> None:
    """Differences of q_t, the value after each step, also where a step has no tokens."""
    mask, ref, logps = right_padded(seed, PROMPTS, 8), normal(seed + 1, PROMPTS, 8), normal(seed + 2, PROMPTS, 8)
    chance = torch.rand(PROMPTS, 8, generator=torch.Generator().manual_seed(seed))
    step_of_token = (chance < 0.3).long().cumsum(-1).clamp(max=3)
    rewards = implicit_step_rewards(
        poisoned(logps, mask), poisoned(ref, mask), mask, step_of_token.masked_fill(~mask, 99), 5, beta=0.5
    )
    for i, length in enumerate(mask.sum(-1).tolist()):
        before = 0.0
        for step in range(5):
            q = 0.5 * sum(float(logps[i, t] - ref[i, t]) for t in range(length) if step_of_token[i, t] <= step)
            assert rewards[i, step].item() == pytest.approx(q - before, abs=1e-9)
            before = q


def test_nothing_in_the_mask_is_no_loss() -> None:
    values, nothing = torch.full((2, 3), torch.nan), torch.zeros(2, 3, dtype=torch.bool)
    for loss in (pairwise_loss, pointwise_loss, within_problem_loss, step_loss):
        assert loss(values, values, nothing).item() == 0.0
    assert implicit_outcome_loss(values, values, nothing, torch.ones(2)).item() == 0.0
    empty = torch.zeros(2, 0)
    assert step_loss(empty, empty, empty.bool()).item() == 0.0


@pytest.mark.parametrize("gap", [-1e5, 1e5])
def test_extreme_rewards_stay_finite(gap: float) -> None:
    labels, mask = torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)
    for loss in (pairwise_loss, pointwise_loss, within_problem_loss):
        rewards = torch.tensor([[gap, 0.0]], requires_grad=True)
        value = loss(rewards, labels, mask)
        value.backward()
        assert rewards.grad is not None
        assert torch.isfinite(value)
        assert torch.isfinite(rewards.grad).all()


def test_bfloat16_is_computed_in_float32_under_autocast() -> None:
    rewards, labels, mask = normal(1, 3, 4).bfloat16(), (normal(2, 3, 4) > 0).bfloat16(), some(3, 3, 4)
    for loss in (pairwise_loss, pointwise_loss, within_problem_loss):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(rewards, labels, mask)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(rewards.float(), labels.float(), mask), atol=0, rtol=0)
