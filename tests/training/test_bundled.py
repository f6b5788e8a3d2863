from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from deliberate.models import bundled, bundled_models
from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.hub import ChatTokenizer
from deliberate.training.measure import figures, sample_candidates
from deliberate.training.tasks import load_task

TASK = load_task("word_problems")


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]


def test_the_pair_is_bundled_with_cards_and_records() -> None:
    models = bundled_models()
    assert {"tiny", "tiny-verifier"} <= set(models)
    for name, folder in models.items():
        artifact = Artifact.load(folder)
        assert artifact.name == name
        assert artifact.weights_hash == file_hash(folder / "model.safetensors")
        assert artifact.step_separator == "\n"
        card = (folder / "README.md").read_text()
        assert artifact.command in card
        assert artifact.data_hash in card
    assert Artifact.load(models["tiny"]).verifier == "tiny-verifier"
    assert sum((folder / "model.safetensors").stat().st_size for folder in models.values()) < 25e6


def test_an_unknown_bundled_model_is_refused_with_the_alternatives() -> None:
    assert bundled("tiny") == bundled_models()["tiny"]
    with pytest.raises(LookupError, match=r"'huge'.*tiny, tiny-verifier"):
        bundled("huge")


def test_plain_transformers_loads_and_solves() -> None:
    folder = bundled("tiny-verifier")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    model = load(folder)
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|end|>")
    problems = list(TASK.problems("test", seed=20, limit=8))
    solved = 0
    for problem in problems:
        messages = [{"role": "user", "content": problem.question}]
        inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=100, do_sample=False)
        text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        solved += TASK.grade(problem, text)
    assert solved >= 6


def test_the_policy_slips_and_the_verifier_tells() -> None:
    folder = bundled("tiny")
    problems = list(TASK.problems("test", seed=21, limit=24))
    torch.manual_seed(0)
    groups = sample_candidates(
        TASK,
        problems,
        ChatTokenizer(folder),
        load(folder),
        load(bundled("tiny-verifier")),
        n=8,
        temperature=0.8,
        seed=0,
    )
    measured = figures(groups)
    assert 25 < measured["pass@1"] < 85
    assert measured["best_of_8_verifier"] > measured["pass@1"] + 8
    assert measured["within_problem_auc"] > 0.7
