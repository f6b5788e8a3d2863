import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers import load, load_scorer
from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.datasets import BadData, read_dataset
from deliberate.training.datasets.rows import RolloutRow
from deliberate.training.recording.metrics import Report
from deliberate.training.reward_models.chains import Chain, ChainBatch
from deliberate.training.reward_models.judges import HeadJudge
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages import orm
from deliberate.training.stages.orm import ORMConfig
from deliberate.training.tasks import load_task
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.reward_model import RewardModel
from deliberate.verifiers.workers import WorkerPool

from .toy_judges import (
    QUICK,
    dataset,
    golden,
    kill_after_checkpoint,
    make_toy,
    rollouts,
    share_that_ends_right,
    write_lines,
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


@pytest.fixture
def configured(toy: Path, tmp_path: Path) -> Callable[..., ORMConfig]:
    def config(**changes: Any) -> ORMConfig:
        data = {"datasets": [dataset(rollouts(tmp_path / "rollouts.jsonl"), "rollouts")]}
        begin = {"model_name_or_path": str(toy), "output_dir": tmp_path / "orm", "num_generations": 4, **QUICK}
        return ORMConfig.model_validate({**begin, **data, **changes})

    return config


def reports(config: ORMConfig) -> tuple[Artifact, list[Report]]:
    lines = list[Report]()
    return orm.run(config, lines.append), lines


@pytest.mark.parametrize("loss_type", ["pairwise", "pointwise", "within_problem"])
def test_every_loss_falls_and_puts_right_answers_first(configured: Callable[..., ORMConfig], loss_type: str) -> None:
    config = configured(loss_type=loss_type, max_steps=40, learning_rate=1e-2)
    data = config.datasets
    artifact, lines = reports(config.model_copy(update={"eval_datasets": data}))
    assert lines[-1].values["loss"] < 0.7 * lines[0].values["loss"]
    assert lines[-1].values["accuracy"] > 0.9
    assert artifact.metrics["auc_within"] > 0.9
    assert artifact.metrics["best_of_n"] > artifact.metrics["pass@1"] == 0.25


def test_losses_are_those_of_the_golden_file(configured: Callable[..., ORMConfig]) -> None:
    _, lines = reports(configured(loss_type="within_problem", margin=0.0))
    losses = [line.values["loss"] for line in lines]
    assert losses == pytest.approx(golden("orm", losses), rel=1e-3)


async def test_the_implicit_form_is_served_as_a_likelihood_ratio(
    configured: Callable[..., ORMConfig], workers: WorkerPool, toy: Path
) -> None:
    config = configured(form="implicit", beta=1.0, max_steps=40, learning_rate=1e-2, lm_coef=0.0)
    artifact, lines = reports(config.model_copy(update={"eval_datasets": config.datasets}))
    assert artifact.format is None
    assert lines[-1].values["accuracy"] > 0.9
    assert artifact.metrics["auc_within"] > 0.9
    row = read_dataset(config.datasets[0]).of(RolloutRow)[0]
    problem = Problem(row.prompt)
    engine, policy = load(str(config.output_dir)), load(str(toy))
    try:
        resources = Resources(workers, {"toy": engine, "start": policy}, policy="start", scorer="toy")
        verifier = Likelihood(aggregate="sum", ratio=True).build(resources)
        verdicts = await verifier.verify(problem, [Candidate(sample.text) for sample in row.samples])
    finally:
        await engine.close()
        await policy.close()
    best = max(range(len(verdicts)), key=lambda number: verdicts[number].score or 0.0)
    assert row.samples[best].score == 1.0


def test_what_reads_surprisals_may_learn_alone(configured: Callable[..., ORMConfig], toy: Path) -> None:
    """The language model stays as it was, and the reader goes on learning in another run."""
    alone = {"form": "surprisal", "freeze_trunk_steps": 100, "lm_coef": 0.0, "head_learning_rate": 5e-2}
    config = configured(max_steps=40, loss_type="within_problem", **alone)
    artifact, lines = reports(config.model_copy(update={"eval_datasets": config.datasets}))
    assert artifact.format is None
    assert lines[-1].values["loss"] < 0.8 * lines[0].values["loss"]
    assert lines[-1].values["accuracy"] > 0.9 and artifact.metrics["auc_within"] > 0.9
    assert artifact.weights_hash == file_hash(toy / "model.safetensors")
    more = {"model_name_or_path": str(config.output_dir), "output_dir": config.output_dir.parent / "more"}
    _, on = reports(config.model_copy(update=more))
    assert on[0].values["loss"] < 1.1 * lines[-1].values["loss"]


async def test_the_server_judges_as_the_trainer_does(configured: Callable[..., ORMConfig], workers: WorkerPool) -> None:
    """The most important of all: what was learned is what is asked for."""
    config = configured()
    artifact, _ = reports(config)
    folder = str(config.output_dir)
    problem = next(load_task("word_problems").problems("test", 0))
    texts = [str(problem.solution), "<think>\n1 + 1 = 3", "nothing"]
    judge = HeadJudge(folder, config, "sequence")
    layouts = Layouts("orm", folder, "\n")
    chains = [[Chain.judged(layouts(problem.messages, text), None)] for text in texts]
    with torch.no_grad():
        expected = judge.read(ChainBatch.of(chains, 0, judge.device))[0][:, 0].sigmoid().tolist()

    scorer = load_scorer(folder)
    resources = Resources(
        workers, {}, scorers={"toy": scorer}, reward_model="toy", formats={"toy": artifact.format or ""}
    )
    try:
        verifier = RewardModel().build(resources)
        verdicts = await verifier.verify(Problem(problem.messages), [Candidate(text) for text in texts])
    finally:
        await scorer.close()
    assert [verdict.score for verdict in verdicts] == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 6) for score in expected}) == 3


def test_one_update_by_hand(configured: Callable[..., ORMConfig], toy: Path, tmp_path: Path) -> None:
    """A head that learns alone, by AdamW at its own rate: the first update is the rate times the gradient's sign."""
    data = rollouts(tmp_path / "one.jsonl", problems=1)
    alone = {"max_steps": 1, "warmup_steps": 0, "decay_steps": 0, "freeze_trunk_steps": 1, "max_grad_norm": 1e9}
    config = configured(datasets=[dataset(data, "rollouts")], head_learning_rate=1e-2, optim="adamw", **alone)
    torch.manual_seed(config.seed)
    start = HeadJudge(str(toy), config, "sequence").network.model.score.weight.detach().double()[0]
    _, lines = reports(config)

    line = json.loads(data.read_text())
    layouts, model = Layouts("orm", str(toy), "\n"), language_model(toy)
    right, *wrong = (last_state(model, layouts(line["messages"], text).ids) for text in line["candidates"])
    leads = [(right - other) @ start for other in wrong]
    loss = -sum(math.log(torch.sigmoid(lead).item()) for lead in leads) / 3
    gradient = -sum((1 - torch.sigmoid(lead)) * (right - other) for lead, other in zip(leads, wrong, strict=True)) / 3
    assert lines[0].values["loss"] == pytest.approx(loss, rel=1e-5)
    assert lines[0].values["grad_norm"] == pytest.approx(torch.as_tensor(gradient).norm().item(), rel=1e-4)
    after = load_file(config.output_dir / "model.safetensors")
    moved = after["score.weight"].double()[0] - start
    torch.testing.assert_close(moved, -1e-2 * torch.as_tensor(gradient).sign(), atol=1e-6, rtol=1e-3)
    before = load_file(toy / "model.safetensors")
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "the trunk is frozen"


def language_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


@torch.no_grad()
def last_state(model: Any, ids: Sequence[int]) -> torch.Tensor:
    return model.model(torch.tensor([list(ids)])).last_hidden_state[0, -1]


def test_margins_and_centering_change_the_loss(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    first: dict[str, float] = {}
    options: dict[str, dict[str, float]] = {
        "plain": {},
        "margin": {"margin": 1.0},
        "c": {"center_rewards_coefficient": 1.0},
    }
    for name, changes in options.items():
        _, lines = reports(configured(output_dir=tmp_path / name, max_steps=1, **changes))
        first[name] = lines[0].values["loss"]
    assert first["margin"] > first["plain"] + 0.3
    assert first["c"] > first["plain"]


def test_preferences_and_single_answers_are_groups_too(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    preferences = [{"prompt": f"{n}?", "chosen": f"{n}!", "rejected": "no"} for n in range(3)]
    single = [{"prompt": f"{n // 2}?", "completion": f"{n}", "label": n % 2 == 0} for n in range(6)]
    for name, lines in (("preferences", preferences), ("single", single)):
        source = write_lines(tmp_path / f"{name}.jsonl", lines)
        _, told = reports(configured(output_dir=tmp_path / name, datasets=[dataset(source, "trl")], max_steps=2))
        assert 0 < told[0].values["loss"] < 2, "single answers to one prompt are compared"


def test_exact_chains_are_streamed(configured: Callable[..., ORMConfig]) -> None:
    artifact, lines = reports(configured(datasets=[], task="word_problems", eval_problems=4))
    assert {"auc_within", "best_of_n", "pass@1"} <= set(artifact.metrics)
    assert artifact.metrics["pass@1"] == share_that_ends_right(problems=4, corruptions=3)
    assert any("auc_within" in line.values for line in lines[:-1])
    assert "lm_loss" in lines[0].values


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": "a", "candidates": ["x", "y"], "scores": [1.0]}, r"bad\.jsonl:2 .*1 'scores' for 2 'candidates'"),
        ({"prompt": "a", "candidates": ["x"], "scores": [7]}, r"bad\.jsonl:2 .*from 0 to 1"),
        ({"prompt": "a"}, r"bad\.jsonl:2 has no 'candidates'"),
        ({"prompt": "a", "candidates": ["x"], "scores": [1.0], "id": "first"}, r"bad\.jsonl:2 has the id 'first'"),
    ],
)
def test_bad_data_are_refused_before_anything_is_written(
    configured: Callable[..., ORMConfig], tmp_path: Path, line: Mapping[str, Any], message: str
) -> None:
    good = {"prompt": "b", "candidates": ["x", "y"], "scores": [1.0, 0.0], "id": "first"}
    config = configured(datasets=[dataset(write_lines(tmp_path / "bad.jsonl", [good, line]), "rollouts")])
    with pytest.raises(BadData, match=message):
        orm.run(config)
    assert not config.output_dir.exists()


def test_groups_of_equal_scores_have_nothing_to_compare(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    lines = [{"prompt": "a", "candidates": ["x", "y"], "scores": [1.0, 1.0]}]
    config = configured(datasets=[dataset(write_lines(tmp_path / "equal.jsonl", lines), "rollouts")])
    with pytest.raises(BadData, match=r"equal\.jsonl:1: all answers .* same score"):
        orm.run(config)
    assert not config.output_dir.exists()
    orm.run(config.model_copy(update={"loss_type": "pointwise"}))


def test_steps_are_no_answers(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    source = write_lines(tmp_path / "steps.jsonl", [{"prompt": "a", "completions": ["x"], "labels": [True]}])
    with pytest.raises(BadData, match=r"steps\.jsonl:1 is a StepwiseRow"):
        orm.run(configured(datasets=[dataset(source, "trl")]))


def test_a_killed_run_goes_on_to_the_same_weights(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    config = configured(max_steps=30)
    whole = orm.run(config)
    broken = config.model_copy(update={"output_dir": tmp_path / "broken"})
    kill_after_checkpoint("orm", broken)
    assert orm.run(broken).weights_hash == whole.weights_hash
    with pytest.raises(OtherRun):
        orm.run(broken.model_copy(update={"seed": 1}))


def test_adapters_learn_with_a_whole_head(configured: Callable[..., ORMConfig], toy: Path) -> None:
    config = configured(lora={"r": 2, "lora_alpha": 4}, save_steps=6)
    reports(config)
    after, before = (load_file(folder / "model.safetensors") for folder in (config.output_dir, toy))
    assert set(after) == {*before, "score.weight"}
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {name for name in before if "_proj.weight" in name}
    torch.manual_seed(config.seed)
    start = HeadJudge(str(toy), configured(), "sequence").network.model.score.weight
    assert not torch.equal(after["score.weight"], start)


def test_long_chains_are_left_out(configured: Callable[..., ORMConfig]) -> None:
    with pytest.raises(BadData, match="max_length 12"):
        orm.run(configured(max_length=12, loss_type="pointwise"))


def test_a_model_that_is_none_is_refused(configured: Callable[..., ORMConfig], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        orm.run(configured(model_name_or_path=str(tmp_path / "nowhere")))
