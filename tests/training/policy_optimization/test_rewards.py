"""Weighted sums of verdicts, and what becomes of those that say nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.protocol import Finish, Sample
from deliberate.training.datasets.rows import Row
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.rewards import Rewards
from deliberate.verifiers.chains import Pieces
from deliberate.verifiers.protocol import Verdict
from tests.training.policy_optimization.toy_policies import grpo_config

ROW = Row(id="1", place="problems.jsonl:1", prompt=({"role": "user", "content": "?"},))


def group(texts: list[str], **verdicts: list[Verdict]) -> ScoredGroup:
    samples = [Sample(t, tuple(t.encode()), (-1.0,) * len(t), Finish("stop")) for t in texts]
    return ScoredGroup(ROW, (1,), tuple(samples), verdicts)


def scored(*scores: float | None) -> list[Verdict]:
    return [Verdict.undecided("away") if score is None else Verdict(score) for score in scores]


@pytest.fixture
def rewards(policy: Path, problems: Path, tmp_path: Path) -> Rewards:
    named: list[Any] = [{"name": "right"}, {"name": "short"}]
    config = grpo_config(policy, problems, tmp_path, rewards=named, reward_weights=[1, 0.5])
    return Rewards(config, Pieces(Tokens()), "\n")  # pyright: ignore[reportArgumentType]


class Tokens:
    """A token for each byte."""

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode()

    def token_bytes(self, token: int) -> bytes:
        return bytes([token])


def test_scores_are_added_by_weight(rewards: Rewards) -> None:
    assert rewards.outcome(group(["a", "b"], right=scored(1, 0), short=scored(0.5, 1))) == [1.25, 0.5]


def test_what_is_undecided_is_none_and_never_0(rewards: Rewards) -> None:
    found = group(["a", "b"], right=scored(1, None), short=scored(0.5, 1))
    assert rewards.outcome(found) == [1.25, None]
    assert not rewards.teaches(found), "one reward alone is better than nothing"


def test_a_verifier_that_decides_nothing_of_a_group_is_left_out(rewards: Rewards) -> None:
    assert rewards.outcome(group(["a", "b"], right=scored(1, 0), short=scored(None, None))) == [1, 0]
    assert rewards.outcome(group(["a"], right=scored(None), short=scored(None))) == [None]


def test_steps_are_rewarded_at_their_last_tokens(rewards: Rewards) -> None:
    options = [
        rewards.config.rewards[0],
        rewards.config.rewards[1].model_copy(update={"supervision": "process"}),
    ]
    config = rewards.config.model_copy(update={"rewards": tuple(options)})
    by_steps = replace(rewards, config=config)
    found = group(
        ["ab\ncd", "e\n"], right=scored(1, 1), short=[Verdict(0.5, steps=(1.0, 0.0)), Verdict(1, steps=(1.0,))]
    )
    ((weight, completions),) = by_steps.steps(found)
    assert weight == 0.5
    assert [c.ends for c in completions] == [(2, 4), (1,)]
    assert [c.rewards for c in completions] == [(1, 0), (1,)]
    assert by_steps.outcome(found) == [1, 1]
    assert by_steps.total(found) == [1.25, 1.5]
    assert by_steps.teaches(found), "the outcomes are equal, the steps are not"
