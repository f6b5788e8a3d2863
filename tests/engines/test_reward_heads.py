"""What the embedded scorer promises beyond the contract: the values of transformers' own models, or a refusal."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers import is_reward_model, load, load_scorer

from .tiny_models import REWARD_HEADS, make_model, make_reward_model, make_value_head_model

CHAIN = list(b"user: Tom has 3 apples and buys 4 more. How many?\nassistant: 3 + 4 = 7\nSo he has 7.\n")


def plain_values(folder: Path, head: str, tokens: list[int]) -> list[float]:
    """Log-odds after each token by the plain model."""
    model: Any = REWARD_HEADS[head].from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        if head == "token":
            logits = model(torch.tensor([tokens])).logits[0]
        else:
            prefixes = [tokens[: end + 1] for end in range(len(tokens))]
            logits = torch.cat([model(torch.tensor([prefix])).logits for prefix in prefixes])
    return (logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]).tolist()


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("llama", {}),
        ("mistral", {"sliding_window": 24}),
        ("qwen2", {"pad_token_id": 7}),
        ("qwen3", {"head_dim": 16}),
        ("gemma", {"head_dim": 8}),
        ("gemma2", {"head_dim": 8, "sliding_window": 24}),
    ],
)
@pytest.mark.parametrize(("head", "labels"), [("sequence", 1), ("sequence", 2), ("token", 1), ("token", 2)])
async def test_values_are_the_models_own_at_every_position(
    model_type: str, changes: dict[str, Any], head: str, labels: int, tmp_path: Path
) -> None:
    folder = make_reward_model(tmp_path, head, labels, model_type, **changes)
    expected = plain_values(folder, head, CHAIN)
    assert max(expected) - min(expected) > 1, "a scorer that always said the same would be found out"
    scorer = load_scorer(str(folder))
    (values,) = await scorer.score([CHAIN], [range(len(CHAIN))])
    assert list(values) == pytest.approx(expected, abs=1e-4)
    await scorer.close()


@pytest.mark.parametrize("head", ["outcome", "process"])
async def test_qwens_heads_of_two_layers(head: str, tmp_path: Path) -> None:
    folder = make_reward_model(tmp_path, head)
    weights = load_file(folder / "model.safetensors")
    assert {name for name in weights if name.startswith("score")} == {
        "score.0.weight",
        "score.0.bias",
        "score.2.weight",
        "score.2.bias",
    }, "the names under which Qwen publishes them"
    hidden = last_hidden_states(folder, {name: value for name, value in weights.items() if name.startswith("model.")})
    inner = (hidden @ weights["score.0.weight"].T + weights["score.0.bias"]).relu()
    logits = inner @ weights["score.2.weight"].T + weights["score.2.bias"]
    assert logits.shape[1] == {"outcome": 1, "process": 2}[head]
    expected = logits[:, 0] if head == "outcome" else logits[:, 1] - logits[:, 0]
    await assert_scores(folder, expected.tolist())


@pytest.mark.parametrize("safe", [False, True])
async def test_a_value_head_beside_a_language_model(safe: bool, tmp_path: Path) -> None:
    """Skywork's folders hold a pickle; a converted one is as good."""
    folder = make_value_head_model(tmp_path)
    weights: dict[str, torch.Tensor] = torch.load(folder / "pytorch_model.bin")
    if safe:
        (folder / "pytorch_model.bin").unlink()
        save_file(
            {name: value.clone() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"}
        )
    hidden = last_hidden_states(folder, {name: value for name, value in weights.items() if name.startswith("model.")})
    values = hidden @ weights["v_head.summary.weight"].T + weights["v_head.summary.bias"]
    await assert_scores(folder, values[:, 0].tolist())


def last_hidden_states(folder: Path, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of the plain decoder after each of CHAIN's tokens, [tokens, hidden]."""
    model: Any = AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32).eval()
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    with torch.inference_mode():
        return model(torch.tensor([CHAIN])).last_hidden_state[0]


async def assert_scores(folder: Path, expected: list[float]) -> None:
    assert is_reward_model(str(folder))
    assert max(expected) - min(expected) > 0.5, "a scorer that always said the same would be found out"
    scorer = load_scorer(str(folder))
    (values,) = await scorer.score([CHAIN], [range(len(CHAIN))])
    assert list(values) == pytest.approx(expected, abs=1e-4)
    await scorer.close()


def test_a_head_without_weights_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for name in ("Qwen2ForPrmModel", "Qwen2ForProcessRewardModel"):
        (folder / "config.json").write_text(json.dumps({**config, "architectures": [name]}))
        with pytest.raises(InvalidRequest, match=r"has no weights for (v_head\.summary|score\.0)\.bias"):
            load_scorer(str(folder))


@pytest.mark.parametrize("length", [1, 8, 12, 16])
async def test_a_grown_chain_costs_what_is_new(tmp_path: Path, length: int) -> None:
    scorer = load_scorer(str(make_reward_model(tmp_path)))
    chain = CHAIN[:20]
    for step in range(20):
        chain = [*chain, *(65 + (step + i) % 26 for i in range(length))]
        await scorer.score([chain], [[len(chain) - 1]])
    assert scorer.stats.prefill_tokens_total == len(chain)
    await scorer.close()


async def test_siblings_share_what_they_have_in_common(tmp_path: Path) -> None:
    scorer = load_scorer(str(make_reward_model(tmp_path)))
    await scorer.score([CHAIN], [[len(CHAIN) - 1]])
    siblings = [[*CHAIN, 65 + i, 10] for i in range(8)]
    together = await scorer.score(siblings, [[len(CHAIN) + 1]] * 8)
    assert scorer.stats.prefill_tokens_total == len(CHAIN) + 8 * 2
    assert len({round(value, 5) for (value,) in together}) == 8
    await scorer.close()


def test_other_numbers_of_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"one label or two.*this one has 3"):
        load_scorer(str(make_reward_model(tmp_path, "token", 3)))


def test_a_head_that_is_no_score_layer_is_refused(tmp_path: Path) -> None:
    for model_type, changes in (("gpt2", {"n_embd": 32, "n_head": 4, "n_layer": 2}), ("bert", {})):
        with pytest.raises(InvalidRequest, match=f"cannot run a {model_type} model as a reward model"):
            load_scorer(str(make_reward_model(tmp_path / model_type, "token", 2, model_type, **changes)))


def test_a_model_that_runs_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deliberate.engines.transformers.fused import FusedDecoder

    forward = FusedDecoder.__call__
    monkeypatch.setattr(FusedDecoder, "__call__", lambda *args: forward(*args) * 1.01)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(InvalidRequest, match="does not reproduce the outputs of this qwen2 model"):
        load_scorer(str(make_reward_model(tmp_path)))


def test_a_language_model_is_no_reward_model(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"Qwen2ForCausalLM; known: …ForSequenceClassification"):
        load_scorer(str(model_folder))
    folder = make_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen2ForSequenceClassification"]}))
    with pytest.raises(InvalidRequest, match=r"no weights for score\.weight"):
        load_scorer(str(folder))


def test_the_config_alone_tells_a_reward_model(model_folder: Path, tmp_path: Path) -> None:
    for head in REWARD_HEADS:
        folder = make_reward_model(tmp_path / head, head)
        (folder / "model.safetensors").unlink()
        assert is_reward_model(str(folder))
    assert not is_reward_model(str(model_folder))
    with pytest.raises(InvalidRequest, match="nowhere"):
        is_reward_model(str(tmp_path / "nowhere"))


def test_a_reward_model_does_not_speak(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no causal language model.*lm_head\.weight"):
        load(str(make_reward_model(tmp_path)))
