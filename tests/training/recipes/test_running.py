"""Recipes that run, on a model of 150 thousand parameters: all bundled ones, and one that is killed again and again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deliberate.models import bundled
from deliberate.training.artifact import Artifact
from deliberate.training.recipes.drawing import draw_chain
from deliberate.training.recipes.library import find_recipe, recipe_names
from deliberate.training.recipes.plan import Plan, read_plan
from deliberate.training.recipes.running import run_plan
from deliberate.training.recording.metrics import Report
from deliberate.training.report import write_report
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages import load_stage

SHAPE = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4}

SHORTER = {"kind": "length", "maximum": 0, "slack": 400, "unit": "characters"}
"""A verifier that gives different answers different scores."""

CLI = "from deliberate.cli.main import app; app()"

RECIPE = """
name: toy
summary: Sample, select, tune.
variables: {model: "", steps: 60}
stages:
  - name: sample
    stage: rollouts
    config:
      engine: {model: "${variables.model}", threads: 1}
      task: {name: word_problems, count: 24}
      num_generations: 2
      max_completion_length: 64
      concurrency: 4
  - name: select
    stage: rejection_sampling
    config: {datasets: [{format: rollouts, source: "${stages.sample}/data.jsonl"}], min_score: 0.0}
  - name: tune
    stage: sft
    config:
      model_name_or_path: ${variables.model}
      datasets: [{format: trl, source: "${stages.select}/data.jsonl"}]
      max_steps: ${variables.steps}
      save_steps: 2
      logging_steps: 1
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that mostly writes answers of the right form, and hardly ever the right one."""
    stage = load_stage("sft")
    folder = tmp_path_factory.mktemp("small") / "model"
    fields = {"name": "small", "output_dir": folder, "tokenizer": bundled("tiny"), "model": SHAPE}
    schedule = {"max_steps": 80, "warmup_steps": 5, "decay_steps": 30, "learning_rate": 5e-3}
    data = {"task": "word_problems", "difficulty": [2], "per_device_train_batch_size": 16}
    stage.run(stage.config.model_validate({**fields, **schedule, **data}), lambda report: None)
    return folder


def run(plan: Plan) -> dict[str, Artifact]:
    return {link.folder: artifact for link, artifact in run_plan(plan, lambda link: lambda report: None)}


def drawn(plan: Plan) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(draw_chain(plan.chain, plan.folder))
    return capture.get()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_runs_through(name: str, small: Path, tmp_path: Path) -> None:
    begin = {"distillation": "student", "tiny_agent": None}.get(name, "model")
    settings = [f"{begin}={small}"] if begin else []  # The one without begins from nothing.
    if name == "orm_active_selection":
        settings.append(f"verifier={json.dumps(SHORTER)}")  # It compares answers, of which hardly any is right.
    plan = read_plan(find_recipe(name), output=tmp_path / "out", settings=settings, smoke=True)
    artifacts = run(plan)
    assert list(artifacts) == [link.folder for link in plan.chain.links]
    assert all(link.state(plan.folder) == "finished" for link in plan.chain.links)
    for link in plan.chain.links:
        used = {artifacts[folder].name for folder in link.uses}
        assert not used or used & artifacts[link.folder].parents.keys(), "each result says what it came from"
    page = write_report(plan.folder).read_text(encoding="utf-8")
    assert all(link.folder in page for link in plan.chain.links)


def test_figures_are_reported_under_the_name_of_their_stage(small: Path, tmp_path: Path) -> None:
    plan = recipe(tmp_path, small, steps=2)
    told: list[tuple[str, Report]] = []
    for _ in run_plan(plan, lambda link: lambda report: told.append((link.folder, report))):
        pass
    assert list(dict.fromkeys(folder for folder, _ in told)) == ["01-sample", "02-select", "03-tune"]
    assert told[-1][1].step == told[-1][1].max_steps == 2
    assert drawn(plan).count("✓") == 3


def recipe(folder: Path, model: Path, steps: int = 60, output: str = "out") -> Plan:
    file = folder / "toy.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return read_plan(file, output=folder / output, settings=[f"model={model}", f"steps={steps}"])


def test_a_folder_of_another_recipe_is_refused(small: Path, tmp_path: Path) -> None:
    plan = recipe(tmp_path, small, steps=1)
    next(run_plan(plan, lambda link: lambda report: None))
    (tmp_path / "toy.yaml").write_text(
        RECIPE.replace("name: select", "name: choose").replace("stages.select", "stages.choose")
    )
    other = read_plan(tmp_path / "toy.yaml", output=tmp_path / "out", settings=[f"model={small}", "steps=1"])
    with pytest.raises(OtherRun, match=r"holds the recipe 'toy' with other stages"):
        run(other)
    assert drawn(plan).count("✓") == 1 and drawn(plan).count("○") == 2


@pytest.mark.timeout(400)
def test_killed_again_and_again_it_ends_as_if_it_never_was(small: Path, tmp_path: Path) -> None:
    whole = run(recipe(tmp_path, small, output="whole"))
    options = ["--set", f"model={small}", "--output", str(tmp_path / "out")]
    command = [sys.executable, "-c", CLI, "train", "recipe", str(tmp_path / "toy.yaml"), *options]
    for moment in ("01-sample/data.jsonl", "02-select", "03-tune/checkpoint-*"):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while not list((tmp_path / "out").glob(moment)) and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, "it was killed on its way"
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "✓  03-tune" in done.stderr
    for folder, artifact in whole.items():
        resumed = Artifact.load(tmp_path / "out" / folder)
        assert (resumed.data_hash, resumed.weights_hash) == (artifact.data_hash, artifact.weights_hash), folder
    assert lines(tmp_path / "out") == lines(tmp_path / "whole")


def lines(folder: Path) -> list[Any]:
    """What the last stage's metrics say that does not depend on time."""
    read = [json.loads(line) for line in (folder / "03-tune" / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["tokens"]) for line in read]
