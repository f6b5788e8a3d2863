import asyncio
import random
import re
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from deliberate.engines.protocol import Conversation, Prompt, Sampling
from deliberate.engines.transformers import load
from deliberate.engines.transformers.engine import TransformersEngine
from deliberate.models import bundled, bundled_models
from deliberate.server.loading import load_companion
from deliberate.server.serving import Scorer
from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.commands import app
from deliberate.training.labelling.exact import step_checker
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.rewards import VerifierReward
from deliberate.training.sampling.groups import Group, Patience
from deliberate.training.tasks import load_task
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Candidate, Resources
from deliberate.verifiers.protocol import Problem as Asked
from deliberate.verifiers.workers import WorkerPool


def test_all_are_bundled_with_cards_and_records() -> None:
    models = bundled_models()
    assert set(models) == {"tiny", "tiny-verifier", "tiny-grpo", "tiny-prm", "tiny-orm", "tiny-agent"}
    for name, folder in models.items():
        artifact = Artifact.load(folder)
        assert artifact.name == name
        assert artifact.weights_hash == file_hash(folder / "model.safetensors")
        assert artifact.step_separator == "\n"
        card = (folder / "README.md").read_text()
        assert artifact.command in card
        assert artifact.data_hash in card
        assert "curves.png" not in card or (folder / "curves.png").stat().st_size > 10_000
    assert Artifact.load(models["tiny"]).verifier == "tiny-verifier"
    assert sum((folder / "model.safetensors").stat().st_size for folder in models.values()) < 60e6


def test_an_unknown_bundled_model_is_refused_with_the_alternatives() -> None:
    assert bundled("tiny") == bundled_models()["tiny"]
    with pytest.raises(LookupError, match=r"'huge'.*tiny, tiny-agent, .*tiny-verifier"):
        bundled("huge")


@pytest.mark.parametrize("name", ["tiny", "tiny-verifier"])
def test_plain_transformers_gives_the_answer_of_the_cards_example(name: str) -> None:
    folder = bundled(name)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|end|>")
    example = re.search(r"^> (.+)\n\n`(<answer>\d+</answer>)`$", (folder / "README.md").read_text(), re.MULTILINE)
    assert example is not None
    messages = [{"role": "user", "content": example[1]}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=100, do_sample=False)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text.endswith(example[2])


def test_the_agents_model_does_what_its_tasks_ask() -> None:
    engine = load(str(bundled("tiny-agent")), threads=1)
    tokenizer = ChatTokenizer(bundled("tiny-agent"))
    task = load_task("python_functions+agent_json+agent_functions")
    problems = list(task.problems("test", 5, 30))
    completions = asyncio.run(answers(engine, [tokenizer.conversation(problem.messages) for problem in problems]))
    with VerifierReward(column="verifier") as reward:
        prompts = [problem.messages for problem in problems]
        verifiers = [problem.verifier for problem in problems]
        rewards = reward(prompts=prompts, completions=completions, verifier=verifiers)
    assert None not in rewards
    assert sum(score or 0.0 for score in rewards) >= 15


@pytest.mark.parametrize("name", ["tiny-prm", "tiny-orm"])
async def test_the_reward_models_put_right_solutions_before_wrong_ones(name: str) -> None:
    companion = load_companion(str(bundled(name)))
    assert isinstance(companion, Scorer) and companion.reader is not None
    workers = WorkerPool()
    lent = Resources(workers, {name: companion.engine}, scorer=name, readers={name: companion.reader})
    task = load_task("word_problems")
    checker, leads = step_checker(task), list[bool]()
    try:
        verifier = Likelihood(step_separator="\n").build(lent)
        for problem in task.problems("test", 9, 30):
            drawn = (checker.corrupted(problem, random.Random(f"{problem.id}{place}")) for place in count())
            wrong = next(one for one in drawn if not one.labels[-1])
            texts = [str(problem.solution), "\n".join(wrong.steps)]
            right, worse = await verifier.verify(Asked(problem.messages), list(map(Candidate, texts)))
            assert right.score is not None and worse.score is not None
            leads.append(right.score > 0.5 > worse.score)
            assert len(worse.steps) == len(wrong.steps)
    finally:
        await companion.engine.close()
        workers.close()
    assert sum(leads) >= 24


async def answers(engine: TransformersEngine, prompts: Sequence[Sequence[int]]) -> list[str]:
    sampling = Sampling(temperature=0, max_tokens=160)

    async def answer(ids: Sequence[int]) -> str:
        (sample,) = await Group(engine, Prompt(tuple(ids), Conversation(())), sampling, 1).draw(Patience(retries=0))
        return sample.text

    try:
        return list(await asyncio.gather(*map(answer, prompts)))
    finally:
        await engine.close()


def test_the_policy_slips_and_the_verifier_tells(tmp_path: Path) -> None:
    for name, folder in bundled_models().items():
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / "README.md").unlink()
    options = ["--models", str(tmp_path), "--problems", "12", "--seed", "21"]
    result = CliRunner().invoke(app, ["measure-tiny", *options])

    assert result.exit_code == 0, result.output
    policy, verifier = Artifact.load(tmp_path / "tiny"), Artifact.load(tmp_path / "tiny-verifier")
    assert 25 < policy.metrics["pass@1"] < 85
    assert policy.metrics["best_of_16_verifier"] > policy.metrics["pass@1"] + 8
    assert policy.metrics["within_problem_auc"] > 0.7
    assert verifier.metrics["pass@1"] > 75
    for artifact in (policy, verifier):
        folder = tmp_path / artifact.name
        assert artifact.weights_hash == file_hash(folder / "model.safetensors"), "the weights stay"
        assert "On 12 held-out problems (test split, seed 21" in (folder / "README.md").read_text()
