"""Rows as the lines of files that `formats/` reads again."""

from collections.abc import Mapping, Sequence
from typing import Any

from deliberate.training.datasets.rows import ProblemRow, Row, Sample

_DIGITS = 6
"""Of log-probabilities, which are float32."""


def rollout_line(row: Row, samples: Sequence[Sample], **more: Any) -> dict[str, Any]:
    """A problem and its answers, of the format `rollouts`, with more fields that it passes over."""
    return {
        **_asked(row, "messages"),
        "candidates": [_candidate(sample) for sample in samples],
        "scores": [sample.score for sample in samples],
        **more,
    }


def completion_line(row: ProblemRow) -> dict[str, Any]:
    """A problem and its solution: TRL's conversational prompt and completion, of the format `trl`."""
    return {
        **_asked(row, "prompt"),
        "completion": [{"role": "assistant", "content": row.solution}],
    }


def step_labels_line(row: Row, solutions: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A problem and its labelled solutions, of the formats `step_labels` and `soft_step_labels`."""
    return {**_asked(row, "messages"), "solutions": list(solutions), **more}


def _asked(row: Row, prompt_field: str) -> dict[str, Any]:
    optional: dict[str, Any] = {"tools": list(row.tools), "answer": row.answer, "verifier": row.verifier}
    return {
        "id": row.id,
        prompt_field: [dict(message) for message in row.prompt],
        **{field: value for field, value in optional.items() if value},
    }


def _candidate(sample: Sample) -> Mapping[str, Any]:
    tokens = {} if sample.token_ids is None else {"token_ids": list(sample.token_ids)}
    logprobs = {} if sample.logprobs is None else {"logprobs": [round(value, _DIGITS) for value in sample.logprobs]}
    return {"text": sample.text, "finished": sample.finished, **tokens, **logprobs}
