import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.transformers import load, load_scorer
from deliberate.server.loading import load_companion
from deliberate.server.serving import Scorer
from deliberate.training.artifact import Artifact
from deliberate.training.datasets import BadData
from deliberate.training.objectives.preferences import dpo_losses
from deliberate.training.policies.network import load_language_model
from deliberate.training.recording.metrics import Report
from deliberate.training.reward_models.chains import Chain, ChainBatch
from deliberate.training.reward_models.judges import (
    HeadJudge,
    ImplicitJudge,
    Judge,
    MarksJudge,
    SurprisalJudge,
)
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.stages import prm
from deliberate.training.stages.prm import PRMConfig
from deliberate.training.tasks import load_task
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.reward_model import RewardModel
from deliberate.verifiers.surprisal import FILE_NAME
from deliberate.verifiers.workers import WorkerPool

from .toy_judges import (
    QUICK,
    dataset,
    golden,
    kill_after_checkpoint,
    make_toy,
    rollouts,
    share_that_ends_right,
    stepwise,
    write_lines,
)

FORMS = [("marks", "math_shepherd"), ("marks", "rlhflow"), ("head", "chat"), ("head", "trl")]
TEXTS = ["<think>\n1 + 1 = 2\n2 + 2 = 5\n</think>\n<answer>5</answer>", "<think>\n1 + 1 = 3", "nothing"]


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def configured(toy: Path, tmp_path: Path) -> Callable[..., PRMConfig]:
    def config(**changes: Any) -> PRMConfig:
        data = {"datasets": [dataset(stepwise(tmp_path / "steps.jsonl"), "trl")]}
        begin = {"model_name_or_path": str(toy), "output_dir": tmp_path / "prm", **QUICK}
        return PRMConfig.model_validate({**begin, **data, **changes})

    return config


def reports(config: PRMConfig) -> tuple[Artifact, list[Report]]:
    lines = list[Report]()
    return prm.run(config, lines.append), lines


def question() -> Problem:
    return Problem(next(load_task("word_problems").problems("test", 0)).messages)


@torch.no_grad()
def said(judge: Judge, layouts: Layouts, problem: Problem, texts: Sequence[str] = TEXTS) -> list[list[float]]:
    """What the trainer's network says of each step, as probabilities."""
    laid = [layouts(problem.messages, text) for text in texts]
    chains = [[Chain.labelled(layout, [None] * len(layout.ends))] for layout in laid]
    values = judge.read(ChainBatch.of(chains, 0, judge.device))[0].sigmoid().tolist()
    return [row[: len(layout.ends)] for row, layout in zip(values, laid, strict=True)]


@pytest.mark.parametrize(("form", "format"), FORMS)
async def test_the_server_judges_as_the_trainer_does(
    configured: Callable[..., PRMConfig], workers: WorkerPool, form: str, format: str
) -> None:
    """The most important of all: what was learned is what is asked for."""
    config = configured(form=form, format=format)
    artifact, _ = reports(config)
    assert artifact.format == format
    folder, problem = str(config.output_dir), question()
    trained = config.model_copy(update={"model_name_or_path": folder})
    layouts = Layouts(format, folder, "\n")
    labels = 2 if format == "trl" else 1
    judge = (
        MarksJudge(trained, layouts.marks()) if form == "marks" else HeadJudge(folder, trained, "token", labels=labels)
    )
    verdicts = await served(folder, artifact.format or "", workers, problem, form == "marks")
    for verdict, expected in zip(verdicts, said(judge, layouts, problem), strict=True):
        assert list(verdict.steps) == pytest.approx(expected, abs=1e-5)
    assert [len(verdict.steps) for verdict in verdicts] == [5, 2, 1]
    assert len({round(step, 7) for verdict in verdicts for step in verdict.steps}) > 4, "they are not all alike"


async def served(folder: str, format: str, workers: WorkerPool, problem: Problem, generative: bool) -> list[Verdict]:
    model: Any = load(folder) if generative else load_scorer(folder)
    role: dict[str, Any] = (
        {"engines": {"toy": model}, "scorer": "toy"}
        if generative
        else {"engines": {}, "scorers": {"toy": model}, "reward_model": "toy"}
    )
    try:
        resources = Resources(workers, formats={"toy": format}, step_separator="\n", **role)
        verifier = RewardModel(steps=True, aggregate="min").build(resources)
        return await verifier.verify(problem, [Candidate(text) for text in TEXTS])
    finally:
        await model.close()


async def test_the_implicit_form_is_served_as_a_likelihood_ratio(
    configured: Callable[..., PRMConfig], workers: WorkerPool, toy: Path, tmp_path: Path
) -> None:
    data = [dataset(rollouts(tmp_path / "rollouts.jsonl"), "rollouts")]
    config = configured(form="implicit", datasets=data, beta=1.0, num_generations=4, lm_coef=0.0)
    artifact, _ = reports(config)
    assert artifact.format is None
    problem, folder = question(), str(config.output_dir)
    judge = ImplicitJudge(config, beta=1.0)
    judge.restore(config.output_dir)
    expected = said(judge, Layouts("chat", folder, "\n"), problem)
    engine, policy = load(folder), load(str(toy))
    try:
        resources = Resources(workers, {"toy": engine, "start": policy}, policy="start", scorer="toy")
        verifier = Likelihood(aggregate="sum", ratio=True).build(resources)
        verdicts = await verifier.verify(problem, [Candidate(text) for text in TEXTS])
    finally:
        await engine.close()
        await policy.close()
    assert [verdict.score for verdict in verdicts] == pytest.approx([steps[-1] for steps in expected], abs=1e-4)
    assert max(abs(steps[-1] - 0.5) for steps in expected) > 0.01


async def test_what_reads_surprisals_is_served_as_it_was_trained(
    configured: Callable[..., PRMConfig], workers: WorkerPool
) -> None:
    config = configured(form="surprisal", until_first_error=False, task="word_problems", head_learning_rate=2e-2)
    artifact, lines = reports(config)
    assert artifact.format is None
    assert lines[-1].values["loss"] < lines[0].values["loss"]
    problem, folder = question(), str(config.output_dir)
    judge = SurprisalJudge(config.model_copy(update={"model_name_or_path": folder}))
    expected = said(judge, Layouts("chat", folder, "\n"), problem)
    companion = load_companion(folder)
    assert isinstance(companion, Scorer) and companion.reader is not None
    try:
        resources = Resources(
            workers, {"toy": companion.engine}, scorer="toy", readers={"toy": companion.reader}, step_separator="\n"
        )
        verdicts = await Likelihood().build(resources).verify(problem, [Candidate(text) for text in TEXTS])
    finally:
        await companion.engine.close()
    for verdict, steps in zip(verdicts, expected, strict=True):
        assert list(verdict.steps) == pytest.approx(steps, abs=1e-4)
        assert verdict.score == verdict.steps[-1]
    assert len({round(step, 3) for verdict in verdicts for step in verdict.steps}) > 4, "they are not all alike"


def test_an_implicit_model_may_begin_ahead_of_its_reference(
    configured: Callable[..., PRMConfig], toy: Path, tmp_path: Path
) -> None:
    data = [dataset(rollouts(tmp_path / "rollouts.jsonl"), "rollouts")]
    ahead = configured(form="implicit", datasets=data, num_generations=4, output_dir=tmp_path / "ahead", max_steps=20)
    prm.run(ahead)
    changes = {"form": "implicit", "datasets": data, "num_generations": 4, "eval_datasets": data, "max_steps": 1}
    begun = {"model_name_or_path": str(ahead.output_dir), "learning_rate": 1e-9}
    alone, _ = reports(configured(**changes, **begun, output_dir=tmp_path / "alone"))
    beside, _ = reports(configured(**changes, **begun, reference_model=str(toy)))
    assert alone.metrics["auc_within"] == pytest.approx(0.5, abs=0.3)
    assert beside.metrics["auc_within"] > 0.9, "it learned that before"
    assert {"toy", toy.name} <= set(beside.parents)


def test_an_implicit_model_learns_from_labelled_steps(configured: Callable[..., PRMConfig]) -> None:
    config = configured(form="implicit", implicit_loss="steps", beta=1.0, max_steps=120, learning_rate=1e-2)
    artifact, lines = reports(config)
    assert artifact.format is None
    assert lines[-1].values["loss"] < 0.7 * lines[0].values["loss"]
    assert lines[-1].values["accuracy"] > lines[0].values["accuracy"]
    assert lines[-1].values["accuracy"] > 0.9


def test_the_pairwise_implicit_loss_is_dpo(configured: Callable[..., PRMConfig], toy: Path, tmp_path: Path) -> None:
    preference = {"prompt": "How many?", "chosen": "<answer>4</answer>", "rejected": "<answer>5</answer>"}
    source = write_lines(tmp_path / "preference.jsonl", [preference])
    steps = {"max_steps": 2, "logging_steps": 1, "save_steps": 1, "save_total_limit": None}
    form = {"form": "implicit", "implicit_loss": "dpo", "beta": 0.3, "num_generations": 2, "lm_coef": 0.0}
    config = configured(datasets=[dataset(source, "trl")], **form, **steps)
    _, lines = reports(config)
    layouts = Layouts("chat", str(toy), "\n")
    laid = [layouts([{"role": "user", "content": "How many?"}], preference[side]) for side in ("chosen", "rejected")]
    after, before = (load_language_model(str(p)) for p in (config.output_dir / "checkpoint-1", toy))
    logps = [[sum_logp(model, layout.ids, layout.prompt) for layout in laid] for model in (after, before)]
    assert lines[0].values["loss"] == pytest.approx(math.log(2), rel=1e-5), "it began as its reference"
    ((chosen, rejected), (ref_chosen, ref_rejected)) = (map(torch.tensor, row) for row in logps)
    expected = dpo_losses(chosen, rejected, ref_chosen, ref_rejected, beta=0.3).item()
    assert lines[1].values["loss"] == pytest.approx(expected, rel=1e-4)
    assert expected < 0.999 * math.log(2)


@torch.no_grad()
def sum_logp(model: Any, ids: Sequence[int], prompt: int) -> float:
    logps = model.double()(torch.tensor([list(ids)])).logits[0].log_softmax(-1)
    return sum(logps[place - 1, ids[place]].item() for place in range(prompt, len(ids)))


@pytest.mark.parametrize(("form", "format"), FORMS)
def test_steps_are_learned(configured: Callable[..., PRMConfig], form: str, format: str) -> None:
    config = configured(form=form, format=format, max_steps=120, learning_rate=1e-2)
    artifact, lines = reports(config.model_copy(update={"eval_datasets": config.datasets}))
    assert lines[-1].values["loss"] < 0.7 * lines[0].values["loss"]
    assert lines[-1].values["lm_loss"] < lines[0].values["lm_loss"]
    assert artifact.metrics["first_error_f1"] > 0.9
    assert artifact.metrics["accuracy_on_right"] > 0.9


def test_losses_are_those_of_the_golden_file(configured: Callable[..., PRMConfig], tmp_path: Path) -> None:
    for form in ("marks", "head", "implicit"):
        changes: dict[str, Any] = {}
        if form == "implicit":
            changes = {"datasets": [dataset(rollouts(tmp_path / "rollouts.jsonl"), "rollouts")]}
        _, lines = reports(configured(form=form, output_dir=tmp_path / form, **changes))
        losses = [line.values["loss"] for line in lines]
        assert losses == pytest.approx(golden(f"prm-{form}", losses), rel=1e-3)


def test_one_step_by_hand(configured: Callable[..., PRMConfig], toy: Path, tmp_path: Path) -> None:
    """Soft labels, up to the first error, in float64."""
    line = {"prompt": "How many?", "completions": ["a", "b", "c"], "labels": [0.75, 0.25, 0.0]}
    data = [dataset(write_lines(tmp_path / "one.jsonl", [line]), "trl")]
    losses: dict[bool, float] = {}
    for until in (True, False):
        folder = tmp_path / f"until-{until}"
        changes = {"max_steps": 1, "until_first_error": until, "per_device_train_batch_size": 1, "lm_coef": 0.0}
        _, lines = reports(configured(datasets=data, form="marks", output_dir=folder, **changes))
        losses[until] = lines[0].values["loss"]
    layouts, model = Layouts("math_shepherd", str(toy), "\n"), load_language_model(str(toy)).double()
    laid = layouts([{"role": "user", "content": "How many?"}], "a\nb\nc")
    logits = model(torch.tensor([list(laid.ids)])).logits[0, list(laid.ends)]
    good, bad = layouts.marks()
    p = torch.sigmoid(logits[:, good] - logits[:, bad])
    entropy = [
        -(y * math.log(q) + (1 - y) * math.log(1 - q)) for y, q in zip((0.75, 0.25, 0.0), p.tolist(), strict=True)
    ]
    assert losses[True] == pytest.approx(sum(entropy[:2]) / 2, rel=1e-5), "what follows the first error does not count"
    assert losses[False] == pytest.approx(sum(entropy) / 3, rel=1e-5)


def test_exact_chains_are_streamed_beside_rows(configured: Callable[..., PRMConfig]) -> None:
    artifact, lines = reports(configured(task="word_problems", eval_problems=4, corruptions=2))
    assert {"auc_within", "first_error_f1", "accuracy_on_wrong", "accuracy_on_right"} <= set(artifact.metrics)
    assert artifact.metrics["pass@1"] == pytest.approx(share_that_ends_right(problems=4, corruptions=2))
    assert any("first_error_f1" in line.values for line in lines[:-1])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": "a", "completions": ["x", "y"], "labels": [True]}, r"bad\.jsonl:2 has 1 'labels' for 2"),
        ({"prompt": "a", "completions": ["x\ny"], "labels": [True]}, r"bad\.jsonl:2 .*step 1 holds the separator"),
        ({"prompt": "a", "completions": ["x"], "labels": [1.5]}, r"bad\.jsonl:2 .*from 0 to 1"),
        ({"prompt": "a", "completions": [], "labels": []}, r"bad\.jsonl:2 .*not empty"),
        ({"prompt": "a", "completion": "x"}, r"bad\.jsonl:2 is a ProblemRow, but this stage needs a StepwiseRow"),
    ],
)
def test_bad_data_are_refused_before_anything_is_written(
    configured: Callable[..., PRMConfig], tmp_path: Path, line: Mapping[str, Any], message: str
) -> None:
    good = {"prompt": "b", "completions": ["x", "y"], "labels": [True, False]}
    config = configured(datasets=[dataset(write_lines(tmp_path / "bad.jsonl", [good, line]), "trl")])
    with pytest.raises(BadData, match=message):
        prm.run(config)
    assert not config.output_dir.exists()


def test_a_format_of_another_form_is_refused(configured: Callable[..., PRMConfig]) -> None:
    with pytest.raises(ValidationError, match="the form 'head' has the formats chat, trl"):
        configured(form="head", format="math_shepherd")


def test_a_task_without_labels_of_steps_is_refused(configured: Callable[..., PRMConfig]) -> None:
    with pytest.raises(InvalidRequest, match="python_functions"):
        prm.run(configured(task="python_functions"))


@pytest.mark.parametrize("form", ["head", "surprisal"])
def test_a_killed_run_goes_on_to_the_same_weights(
    configured: Callable[..., PRMConfig], tmp_path: Path, form: str
) -> None:
    config = configured(form=form, max_steps=30, task="word_problems", eval_problems=2)
    whole = prm.run(config)
    broken = config.model_copy(update={"output_dir": tmp_path / "broken"})
    kill_after_checkpoint("prm", broken)
    again = prm.run(broken)
    assert again.weights_hash == whole.weights_hash
    assert {**again.metrics, "train_seconds": 0} == {**whole.metrics, "train_seconds": 0}
    if form == "surprisal":
        assert (broken.output_dir / FILE_NAME).read_bytes() == (config.output_dir / FILE_NAME).read_bytes()
    metrics = [json.loads(line)["step"] for line in (broken.output_dir / "metrics.jsonl").read_text().splitlines()]
    assert metrics == list(range(2, 31, 2))


def test_the_page_shows_a_configuration_that_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "training-reward-models.md").read_text(encoding="utf-8")
    ((block),) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = PRMConfig.model_validate(yaml.safe_load(block))
    assert (config.form, config.layout, config.step_separator) == ("marks", "math_shepherd", "\n")
