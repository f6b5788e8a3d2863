"""PPO on a toy policy: it learns with its value model, it can be killed, its updates are the equations'."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from deliberate.training.policy_optimization.ppo_learner import PPOLearner
from deliberate.training.recording.metrics import read_lines
from deliberate.training.stages import ppo
from tests.training.policy_optimization.toy_policies import make_policy, make_problems, ppo_config, recorded
from tests.training.stages.toy_judges import kill_after_checkpoint


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_problems(tmp_path_factory.mktemp("problems") / "problems.jsonl")


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_lines(folder)]


def test_policy_and_values_learn(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = ppo_config(policy, problems, tmp_path / "out", max_steps=12, vf_coef=1.0, cliprange_value=None)
    artifact = ppo.run(config)
    lines = read_lines(config.output_dir)
    assert lines[0]["reward"] < 0.6
    assert lines[-1]["reward"] > 0.85
    assert lines[-1]["value"] > lines[0]["value"] + 0.2, "the value model foresees more reward"
    assert {"kl", "entropy", "policy_loss", "value_loss", "explained_variance", "clip_fraction"} <= lines[0].keys()
    AutoModelForCausalLM.from_pretrained(config.output_dir)  # pyright: ignore[reportUnknownMemberType]
    assert ppo.run(config) == artifact


def test_equal_seeds_give_equal_losses(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = ppo_config(policy, problems, tmp_path / "out", max_steps=3, steps_per_generation=2, lam=0.95)
    ppo.run(config)
    assert losses(config.output_dir) == pytest.approx(recorded("ppo", losses(config.output_dir)), abs=2e-4)


def test_a_killed_run_ends_as_if_it_had_never_been(policy: Path, problems: Path, tmp_path: Path) -> None:
    whole = ppo.run(ppo_config(policy, problems, tmp_path / "whole", max_steps=6, value_learning_rate=1e-3))
    config = ppo_config(policy, problems, tmp_path / "killed", max_steps=6, value_learning_rate=1e-3)
    kill_after_checkpoint("ppo", config)
    again = ppo.run(config)
    assert (again.weights_hash, again.data_hash) == (whole.weights_hash, whole.data_hash)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_advantages_are_rewards_to_come_less_the_value(policy: Path, problems: Path, tmp_path: Path) -> None:
    """With gamma = lambda = 1, token by token on plain floats."""
    config = ppo_config(policy, problems, tmp_path, kl_coef=0.5, whiten_advantages=False)
    with PPOLearner(config) as learner:
        with torch.no_grad():
            for _, parameter in learner.network.named_parameters():
                parameter.mul_(1.05)  # No longer the reference.
        groups = learner.rounds.sample(0).groups
        experience = learner.valued(groups)
        scores = [score for group in groups for score in learner.rounds.rewards.outcome(group)]
    columns: dict[str, Any] = {name: values.tolist() for name, values in experience.columns.items()}
    for row, (score, completion) in enumerate(zip(scores, experience.completions, strict=True)):
        coming = 0.0
        for token in reversed(range(len(completion))):
            last = token == len(completion) - 1
            divergence = columns["old_logps"][row][token] - columns["ref_logps"][row][token]
            coming += (score if last and score is not None else 0.0) - 0.5 * divergence
            assert columns["returns"][row][token] == pytest.approx(coming, abs=1e-4)
            assert columns["advantages"][row][token] == pytest.approx(coming - columns["values"][row][token], abs=1e-4)
    assert experience.columns["kl"].abs().max() > 1e-3


def test_an_update_is_the_papers(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = ppo_config(policy, problems, tmp_path, vf_coef=0.5, cliprange=0.1)
    with PPOLearner(config) as learner:
        experience = learner.valued(learner.rounds.sample(0).groups)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for _, parameter in learner.named_parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        every = range(len(experience.prompts))
        values = learner.learn(experience, every)
        known = {name: column[experience.mask].double() for name, column in experience.columns.items()}
        now = learner.logps(experience).logps[experience.mask].double()
        foreseen = _values(learner, experience)[experience.mask].double()
    ratio = (now - known["old_logps"]).exp()
    surrogate = torch.minimum(ratio * known["advantages"], ratio.clamp(0.9, 1.1) * known["advantages"])
    near = known["values"] + (foreseen - known["values"]).clamp(-0.2, 0.2)
    errors = torch.maximum((foreseen - known["returns"]).square(), (near - known["returns"]).square())
    assert values["loss"] == pytest.approx((-surrogate.mean() + 0.5 * errors.mean() / 2).item(), abs=1e-5)
    assert values["clip_fraction"] > 0


def _values(learner: PPOLearner, experience: Any) -> Tensor:
    """One completion at a time, from the classifier's own forward pass."""
    found = torch.zeros(experience.mask.shape)
    for row, (prompt, completion) in enumerate(zip(experience.prompts, experience.completions, strict=True)):
        with torch.no_grad():
            logits = learner.critic.network.model(torch.tensor([[*prompt, *completion]])).logits[0, :, 0]
        found[row, : len(completion)] = logits[len(prompt) - 1 : -1]
    return found


def test_steps_are_rewarded_where_they_end(policy: Path, problems: Path, tmp_path: Path) -> None:
    config = ppo_config(
        policy,
        problems,
        tmp_path,
        rewards=[{"name": "sums", "verifier": "calculator", "supervision": "process"}],
        kl_coef=0.0,
    )
    with PPOLearner(config) as learner:
        experience = learner.valued(learner.rounds.sample(0).groups)
    assert not experience.mask.any(), "no equation was written, so that nothing was decided"
    assert experience.columns["returns"].abs().max() == 0
