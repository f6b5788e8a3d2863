"""One step of the learner, against the equations on plain floats in float64."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from deliberate.training.policy_optimization.experience import Experience
from deliberate.training.policy_optimization.grpo_learner import GRPOLearner
from tests.training.policy_optimization.toy_policies import grpo_config


def learner_of(policy: Path, problems: Path, output: Path, **changes: Any) -> GRPOLearner:
    return GRPOLearner(grpo_config(policy, problems, output, **changes))


def exact_logps(model: Any, experience: Experience, temperature: float) -> list[Tensor]:
    """Of each completion's tokens, one sequence at a time, in float64."""
    found: list[Tensor] = []
    for prompt, completion in zip(experience.prompts, experience.completions, strict=True):
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1] / temperature
        found.append(logits.log_softmax(-1)[range(len(completion)), list(completion)])
    return found


def shifted(learner: GRPOLearner) -> None:
    """Move the weights, so that the policy is neither the reference nor what sampled."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, parameter in learner.named_parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def in_float64(learner: GRPOLearner) -> Any:
    model: Any = AutoModelForCausalLM.from_config(learner.network.model.config).double().eval()
    model.load_state_dict(learner.network.model.state_dict())
    return model


def paper_loss(now: Sequence[Tensor], old: Sequence[Tensor], ref: Sequence[Tensor], rewards: list[float]) -> Tensor:
    """DeepSeekMath, equations 3 and 4, for groups of eight; the deviation of equation 3 plus 1e-4."""
    of_completions: list[Tensor] = []
    for i, (logps, before, reference) in enumerate(zip(now, old, ref, strict=True)):
        group = rewards[i // 8 * 8 : i // 8 * 8 + 8]
        spread = stdev(group)
        advantage = (rewards[i] - fmean(group)) / (spread + 1e-4) if spread else 0.0
        ratio = (logps - before.detach()).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        kl = (reference.detach() - logps).exp() - (reference.detach() - logps) - 1
        of_completions.append((surrogate - 0.04 * kl).mean())
    return -torch.stack(of_completions).mean()


@pytest.mark.parametrize("temperature", [1.0, 0.8])
def test_a_step_is_the_papers(policy: Path, problems: Path, tmp_path: Path, temperature: float) -> None:
    with learner_of(policy, problems, tmp_path, num_iterations=2, temperature=temperature) as learner:
        found = learner.rounds.sample(0)
        experience = learner.credited(found.groups)
        every = range(len(experience.prompts))
        start = in_float64(learner)
        experience = learner.recalled(experience, every, old=True)
        shifted(learner)
        values = learner.learn(experience, every, every)
        exact = in_float64(learner)
        before = exact_logps(start, experience, temperature)
        rewards = [
            score for group in found.groups for score in learner.rounds.rewards.outcome(group) if score is not None
        ]
        loss = paper_loss(exact_logps(exact, experience, temperature), before, before, rewards)
        loss.backward()
    assert len(rewards) == 32
    assert 0 < sum(rewards) < 32
    assert values["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert values["clip_fraction"] > 0
    assert values["kl"] > 0
    expected = dict(exact.named_parameters())
    for name, parameter in learner.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad.double(), expected[name].grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "gspo"])
def test_micro_batches_change_nothing(policy: Path, problems: Path, tmp_path: Path, variant: str) -> None:
    gradients: list[Tensor] = []
    for size in (5, 32):
        changes = {"variant": variant, "per_device_train_batch_size": size, "num_iterations": 2}
        changes["mask_truncated_completions"] = False
        with learner_of(policy, problems, tmp_path, **changes) as learner:
            experience = learner.credited(learner.rounds.sample(0).groups)
            every = range(len(experience.prompts))
            experience = learner.recalled(experience, every, old=True)
            shifted(learner)
            learner.learn(experience, every, every)
            gradients.append(torch.cat([p.grad.flatten() for _, p in learner.named_parameters() if p.grad is not None]))
    assert gradients[0].norm() > 0
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_token_ids_and_log_probabilities_are_those_that_were_drawn(
    policy: Path, problems: Path, tmp_path: Path
) -> None:
    with learner_of(policy, problems, tmp_path, importance_sampling_correction=True) as learner:
        groups = learner.rounds.sample(0).groups
        experience = learner.credited(groups)
        drawn = [sample for group in groups for sample in group.samples]
        assert experience.completions == tuple(sample.token_ids for sample in drawn)
        sampled = experience.columns["sampling_logps"][experience.mask]
        assert sampled.tolist() == pytest.approx([logp for sample in drawn for logp in sample.logprobs])
        torch.testing.assert_close(
            learner.logps(experience).logps[experience.mask].detach(), sampled, atol=1e-4, rtol=0
        )
        every = range(len(drawn))
        assert learner.learn(experience, every, every)["sampling_ratio"] == pytest.approx(1, abs=1e-4)


def test_with_adapters_the_reference_is_the_model_without_them(policy: Path, problems: Path, tmp_path: Path) -> None:
    with learner_of(policy, problems, tmp_path, lora={"r": 4}) as learner:
        experience = learner.credited(learner.rounds.sample(0).groups)
        every = range(len(experience.prompts))
        before = learner.logps(experience).logps.detach()
        with torch.no_grad():
            for _, parameter in learner.named_parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1)
        after = learner.logps(experience).logps.detach()
        remembered = learner.recalled(experience, every, old=False).columns["ref_logps"]
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(remembered, before, atol=1e-5, rtol=0)


def test_truncated_completions_are_left_out_where_that_is_wanted(policy: Path, problems: Path, tmp_path: Path) -> None:
    with learner_of(policy, problems, tmp_path, mask_truncated_completions=True) as learner:
        groups = learner.rounds.sample(0).groups
        experience = learner.credited(groups)
    ended = [sample.finish.reason == "stop" for group in groups for sample in group.samples]
    assert not all(ended)
    assert experience.mask.any(-1).tolist() == ended
