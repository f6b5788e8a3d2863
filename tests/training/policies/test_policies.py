"""Models that learn: what they think of completions, adapters, checkpoints, and sampling with the current weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from deliberate.engines import transformers as embedded
from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Prompt, Sampling
from deliberate.training.policies import logps
from deliberate.training.policies.config import LoraOptions, TrainedConfig
from deliberate.training.policies.logps import TokenBatch, completion_logps
from deliberate.training.policies.network import TrainableNetwork, load_language_model
from tests.engines.tiny_models import make_model

CPU = torch.device("cpu")
PROMPTS = [[5, 6, 7], [8], [9, 10]]
COMPLETIONS = [[11, 12], [13, 14, 15, 16], []]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("llama"), "llama")


def network(folder: Path, **options: Any) -> TrainableNetwork:
    config = TrainedConfig(name="toy", output_dir=folder / "none", max_steps=1, **options)
    return TrainableNetwork(load_language_model(str(folder)), config)


def batch() -> TokenBatch:
    return TokenBatch.of(PROMPTS, COMPLETIONS, 256, CPU)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logps_are_those_of_the_model_itself(tmp_path: Path, architecture: str, temperature: float) -> None:
    folder = make_model(tmp_path, architecture)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    got = completion_logps(model, batch(), temperature=temperature)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        logits = model(torch.tensor([prompt + completion])).logits[0].double() / temperature
        expected = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        chosen = expected[torch.arange(len(completion)), completion]
        assert torch.allclose(got.logps[row, : len(completion)].double(), chosen, atol=1e-5)
        entropy = -(expected.exp() * expected).sum(-1)
        assert torch.allclose(got.entropies[row, : len(completion)].double(), entropy, atol=1e-5)
        assert not got.logps[row, len(completion) :].any()


def test_pieces_give_the_same_values_and_gradients(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[torch.Tensor] = []
    for at_once in (2**27, 300):  # Numbers: all tokens together, and one by one.
        monkeypatch.setattr(logps, "_LOGITS_AT_ONCE", at_once)
        trained = network(folder)
        completion_logps(trained.model, batch()).logps.sum().backward()
        gradients.append(trained.model.get_input_embeddings().weight.grad)
    assert alike(*gradients)


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() < 1e-5 * first.abs().max())


def changed(trained: TrainableNetwork) -> TrainableNetwork:
    """What learns, moved."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in trained.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return trained


@pytest.mark.parametrize("lora", [None, LoraOptions(r=4)])
def test_checkpoints_and_exports_are_the_model(folder: Path, tmp_path: Path, lora: LoraOptions | None) -> None:
    trained = changed(network(folder, lora=lora))
    expected = completion_logps(trained.model, batch()).logps
    before = completion_logps(network(folder).model, batch()).logps
    assert not torch.allclose(expected, before, atol=1e-2)

    (tmp_path / "checkpoint").mkdir()
    trained.save(tmp_path / "checkpoint")
    resumed = network(folder, lora=lora)
    resumed.restore(tmp_path / "checkpoint")
    assert torch.equal(completion_logps(resumed.model, batch()).logps, expected)

    trained.export(tmp_path / "exported")
    exported: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")  # pyright: ignore[reportUnknownMemberType]
    assert torch.allclose(completion_logps(exported, batch()).logps, expected, atol=1e-5)
    assert torch.allclose(completion_logps(trained.frozen().model, batch()).logps, expected, atol=1e-5)
    assert torch.equal(completion_logps(trained.model, batch()).logps, expected), "exporting changed the policy"


def test_only_adapters_learn_and_the_model_below_is_the_reference(folder: Path) -> None:
    trained = changed(network(folder, lora=LoraOptions(r=4, target_modules=("q_proj", "v_proj"))))
    learning = [name for name, parameter in trained.named_parameters() if parameter.requires_grad]
    assert learning
    assert all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in learning)
    before = completion_logps(network(folder).model, batch()).logps
    with trained.without_adapters():
        assert torch.equal(completion_logps(trained.model, batch()).logps, before)


@pytest.mark.parametrize("lora", [None, LoraOptions(r=4)])
async def test_an_engine_samples_from_the_policy_as_it_is(folder: Path, lora: LoraOptions | None) -> None:
    trained = changed(network(folder, lora=lora))
    engine = embedded.load(str(folder))
    await engine.load_weights(trained.weights())
    tokens, told = list[int](), list[float]()
    async for delta in engine.generate(Prompt((5, 6, 7)), Sampling(max_tokens=12, seed=3)):
        tokens += delta.token_ids
        told += delta.logprobs
    await engine.close()
    mine = completion_logps(trained.model, TokenBatch.of([[5, 6, 7]], [tokens], 256, CPU)).logps[0]
    assert torch.allclose(mine, torch.tensor(told), atol=1e-4), "the engine drew from other weights"


def test_gradient_checkpointing_computes_again_and_changes_no_gradient(folder: Path) -> None:
    gradients: list[torch.Tensor] = []
    computed = [0, 0]
    for checkpointing in (False, True):
        trained = network(folder, gradient_checkpointing=checkpointing)

        def count(*_: object, kind: int = int(checkpointing)) -> None:
            computed[kind] += 1

        trained.model.get_decoder().layers[0].mlp.register_forward_pre_hook(count)
        completion_logps(trained.model, batch()).logps.sum().backward()
        gradients.append(trained.model.get_input_embeddings().weight.grad)
    assert alike(*gradients)
    assert computed == [1, 2]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="Cannot load a language model"):
        load_language_model(str(tmp_path))
