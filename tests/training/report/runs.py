"""Folders of runs as stages leave them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deliberate.training.recording.samples import SamplesLog, TrainingSample


def write_metrics(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    given = [
        {"step": step, "max_steps": len(lines), "tokens": 100 * step, "seconds": 0.5 * step} for step in _steps(lines)
    ]
    text = "".join(json.dumps(one | dict(line)) + "\n" for one, line in zip(given, lines, strict=True))
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")


def _steps(lines: Sequence[object]) -> range:
    return range(1, len(lines) + 1)


def write_samples(folder: Path, steps: Mapping[int, Sequence[str]], prompt: str = "2 + 2?") -> None:
    """Completions of each step; those that hold a 4 are right, those that end in … are cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    log = SamplesLog(folder, resumed_step=0)
    for step, texts in steps.items():
        log.add([_sample(step, prompt, text) for text in texts])
    log.close()


def _sample(step: int, prompt: str, text: str) -> TrainingSample:
    reward = None if text == "undecided" else float("4" in text)
    advantage = None if reward is None else reward - 0.5
    return TrainingSample(step, prompt, text, reward, {"accuracy": reward}, advantage, finished=not text.endswith("…"))


def write_record(folder: Path, **fields: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"name": folder.name, "stage": "sft", "config": {"max_steps": 3}, "versions": {"torch": "2.13"}}
    (folder / "deliberate.json").write_text(json.dumps(record | fields), encoding="utf-8")


def evaluation(**changed: Any) -> dict[str, Any]:
    """What `deliberate eval` saves: on 100 problems, 20 tokens a sample."""
    results = [
        {"strategy": "none", "model": "tiny", "n": 1, "accuracy": 0.5, "tokens": 2_000, "seconds": 1.0},
        {"strategy": "best_of_n", "model": "tiny", "n": 4, "accuracy": 0.8, "tokens": 8_000, "seconds": 1.0},
    ]
    settings = {"task": "word_problems", "split": "test", "limit": 100, "seed": 0, "temperature": 0.8, "model": "tiny"}
    curves = {"best_of_n": [[1, 0.5], [2, 0.7], [4, 0.8]]}
    pass_at = {"1": 0.5, "2": 0.75, "4": 0.9}
    return settings | {"results": results, "curves": curves, "pass_at": pass_at} | changed
