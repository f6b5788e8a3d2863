"""Small models that learn to judge, and data for them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deliberate.training.labelling.exact import step_checker
from deliberate.training.policies.architecture import new_model
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.shape import ModelShape
from deliberate.training.stages._protocol import StageConfig
from deliberate.training.tasks import load_task
from deliberate.training.tokenizer import make_tokenizer

SHAPE = ModelShape(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
)
QUICK: Mapping[str, Any] = {
    "name": "toy",
    "max_steps": 12,
    "warmup_steps": 3,
    "decay_steps": 4,
    "learning_rate": 5e-3,
    "per_device_train_batch_size": 8,
    "logging_steps": 2,
    "save_steps": 5,
    "eval_steps": 6,
}

GOLDEN = Path(__file__).parent / "golden-judges.json"


def make_toy(folder: Path) -> Path:
    """A language model of under 100k parameters, with a tokenizer for word problems."""
    make_tokenizer(folder, "word_problems", seed=0, problems=200, vocab_size=400)
    model = new_model(SHAPE, ChatTokenizer(folder), seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) < 100_000
    model.save_pretrained(folder)
    return folder


def write_lines(file: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def rollouts(file: Path, problems: int = 12) -> Path:
    """Groups of four answers, of which one or two are right."""
    lines = list[dict[str, Any]]()
    for number, problem in enumerate(load_task("word_problems").problems("train", 3, problems)):
        rng = random.Random(number)
        wrong = [f"<think>\n1 + {rng.randint(1, 9)} = 7\n</think>\n<answer>{i}</answer>" for i in range(3)]
        line = {"id": problem.id, "messages": list(problem.messages), "answer": problem.answer}
        lines.append({**line, "candidates": [problem.solution, *wrong], "scores": [1.0, 0.0, 0.0, 0.0]})
    return write_lines(file, lines)


def stepwise(file: Path, problems: int = 12) -> Path:
    """Solutions in TRL's form, every second with a wrong step before the answer."""
    lines = list[dict[str, Any]]()
    for number, problem in enumerate(load_task("word_problems").problems("train", 4, problems)):
        steps = [step for step in str(problem.solution).split("\n") if step]
        wrong = number % 2 == 1
        labels = [True] * (len(steps) - 1) + [not wrong]
        steps[-1] = "so nobody knows" if wrong else steps[-1]
        lines.append({"prompt": problem.question, "completions": steps, "labels": labels})
    return write_lines(file, lines)


def share_that_ends_right(*, problems: int, corruptions: int, seed: int = 0) -> float:
    """Of the solutions to held-out word problems, and of as many corruptions of each: those with the right answer."""
    ends = list[bool]()
    for problem in load_task("word_problems").problems("test", seed, problems):
        rng = random.Random(f"chains:{seed}:{problem.id}")
        wrong = [step_checker(load_task("word_problems")).corrupted(problem, rng) for _ in range(corruptions)]
        answers = [f"<answer>{problem.answer}</answer>" == chain.steps[-1] for chain in wrong]
        ends += [True, *answers]
    return sum(ends) / len(ends)


def dataset(source: Path, format: str) -> dict[str, str]:
    return {"format": format, "source": str(source)}


def golden(name: str, values: list[float]) -> list[float]:
    """What the file of golden losses says; written anew where DELIBERATE_GOLDEN is set."""
    known: dict[str, list[float]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("DELIBERATE_GOLDEN"):
        known[name] = [round(value, 6) for value in values]
        GOLDEN.write_text(json.dumps(known, indent=1) + "\n")
    return known[name]


def kill_after_checkpoint(stage: str, config: StageConfig) -> None:
    """Run a stage in a process of its own, and kill -9 it once it has left a checkpoint."""
    code = (
        "import sys; from deliberate.training.stages._registry import load_stage; "
        "stage = load_stage(sys.argv[1]); stage.run(stage.config.model_validate_json(sys.argv[2]), lambda _: None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, stage, config.model_dump_json()])
    try:
        while process.poll() is None and not list(config.output_dir.glob("checkpoint-*")):
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it was killed, and had not finished"
