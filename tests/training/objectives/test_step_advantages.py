"""Process supervision against DeepSeekMath's equation: token by token, in loops."""

import random
import statistics

import pytest
import torch

from deliberate.training.objectives.step_advantages import step_advantages, step_reward_table

TOKENS, SIZE = 12, 4
Steps = list[tuple[int, float | None]]
"""The last token of each step, and its reward."""


def sampled_steps(rng: random.Random) -> Steps:
    ends = sorted(rng.sample(range(TOKENS), rng.randint(0, 5)))
    return [(end, rng.choice([0.0, 1.0, rng.random(), None])) for end in ends]


def reference(group: list[Steps], epsilon: float) -> list[list[float]]:
    rewards = [reward for steps in group for _, reward in steps if reward is not None]
    if len(set(rewards)) < 2:
        return [[0.0] * TOKENS for _ in group]
    mean, std = statistics.fmean(rewards), statistics.stdev(rewards) + epsilon
    return [
        [sum((r - mean) / std for end, r in steps if r is not None and end >= token) for token in range(TOKENS)]
        for steps in group
    ]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_each_token_sums_the_steps_to_come(seed: int, epsilon: float) -> None:
    rng = random.Random(seed)
    groups = [[sampled_steps(rng) for _ in range(SIZE)] for _ in range(3)]
    groups.append([[(3, 0.1), (7, 0.1), (9, None)], [], [(11, 0.1)], [(0, 0.1)]])
    completions = [steps for group in groups for steps in group]
    values, ends = step_reward_table(
        [[end for end, _ in steps] for steps in completions],
        [[reward for _, reward in steps] for steps in completions],
        TOKENS,
    )
    exact = torch.full(values.shape, torch.nan, dtype=torch.float64)
    for row, steps in enumerate(completions):
        for end, reward in steps:
            assert bool(ends[row, end]) == (reward is not None)
            if reward is not None:
                exact[row, end] = reward
    shape = (len(groups), SIZE, TOKENS)
    advantages = step_advantages(exact.view(shape), ends.view(shape), epsilon=epsilon)
    expected = torch.tensor([reference(group, epsilon) for group in groups], dtype=torch.float64)
    torch.testing.assert_close(advantages, expected, atol=1e-9, rtol=1e-9)
    assert not advantages[-1].any()


def test_completions_without_steps() -> None:
    values, ends = step_reward_table([[], [], []], [[], [], []], 5)
    assert step_advantages(values[None], ends[None]).tolist() == [[[0.0] * 5] * 3]


def test_steps_that_do_not_match_their_rewards_are_refused() -> None:
    with pytest.raises(ValueError, match=r"completion 1: .* have 1 rewards"):
        step_reward_table([[1], [0, 2]], [[1.0], [0.5]], 4)
    with pytest.raises(ValueError, match=r"completion 0: .* last token of its own"):
        step_reward_table([[2, 2]], [[1.0, 0.0]], 4)
