"""The model cards of the bundled pair: what they know, what they were measured on, and what they are for."""

from pathlib import Path

from deliberate.training.artifact import Artifact
from deliberate.training.run_card import table_rows
from deliberate.training.tasks import Problem

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [deliberate, word-problems]
---

# {name}

{summary}

## How it was made

Trained from random weights on fresh problems of the task `{task}` (its train split; the loss covers the worked
solution only) by

    {command}

| fact | value |
| --- | --- |
{facts}

The exact configuration is in `deliberate.json` and the course of the loss in `metrics.jsonl`.

## Measured

{measured_on}

| figure | value |
| --- | --- |
{metrics}

`deliberate train measure-tiny` measures again. {example}

## Limits

- It knows one kind of text: chained word problems of 2 to 7 steps on whole numbers up to 500, in the phrasings of
  its task. It knows nothing of the world and cannot chat; other questions get an answer of the same form, and wrong.
- Words that its task does not have (other names, things or phrasings, another system message) throw it off.
- It is a demonstration for strategies that sample and verify{role}.
"""


def write_tiny_card(folder: Path, artifact: Artifact, *, measured_on: str, example: Problem | None, role: str) -> None:
    """Write `README.md`.

    Args:
        folder: of the model.
        artifact: its record.
        measured_on: on what and how, in a sentence.
        example: a problem that the model solves.
        role: ends the sentence on what the model is for.
    """
    training = {name: value for name, value in artifact.metrics.items() if name.startswith("train_")}
    held_out = {name: value for name, value in artifact.metrics.items() if name not in training}
    facts = {
        "stage": artifact.stage,
        "steps": artifact.config["max_steps"],
        "data hash": f"`{artifact.data_hash}`",
        "weights (sha256)": f"`{artifact.weights_hash}`",
        **{name: f"{value:.6g}" for name, value in training.items()},
        **artifact.versions,
    }
    card = _CARD.format(
        name=artifact.name,
        summary=artifact.summary,
        task=artifact.task,
        command=artifact.command,
        facts=table_rows(facts),
        measured_on=measured_on,
        metrics=table_rows({name: f"{value:g}" for name, value in held_out.items()}),
        example="It solved none of the first problems at temperature 0." if example is None else _shown(example),
        role=role,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _shown(example: Problem) -> str:
    return f"""For example, it answers this held-out problem right at temperature 0:

> {example.question}

`<answer>{example.answer}</answer>`"""
