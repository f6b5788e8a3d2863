"""Our own JSON lines: a problem and the answers that a policy gave, as `deliberate verify` reads them too.

    {"id": 1, "messages": […], "candidates": ["17 * 23 = 391", {"text": "…", "finished": false}], "scores": [1.0, null]}

A score is null where nothing was decided. `answer` or `verifier` say how answers are judged.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

from deliberate.training.completions import completion_text
from deliberate.training.datasets.formats._judging import messages, prompt, row_fields
from deliberate.training.datasets.records import Record, share
from deliberate.training.datasets.rows import RolloutRow, Sample
from deliberate.training.json_lines import BadLine


class Rollouts:
    """What the stage `rollouts` writes, and problems without answers."""

    name = "rollouts"

    def rows(self, record: Record) -> Iterator[RolloutRow]:
        asked = messages(record, "messages") if record.has("messages") else prompt(record)
        samples = zip(record.items("candidates"), _scores(record), strict=True)
        yield RolloutRow(
            **row_fields(record),
            prompt=asked,
            samples=tuple(_sample(record, number, *sample) for number, sample in enumerate(samples)),
        )


def _scores(record: Record) -> Sequence[float | None]:
    count = len(record.items("candidates"))
    if not record.has("scores"):
        return [None] * count
    given = record.items("scores")
    if len(given) != count:
        raise BadLine(f"has {len(given)} 'scores' for {count} 'candidates'; give each one, or null")
    scores = [share(score) for score in given]
    if any(score is None and value is not None for score, value in zip(scores, given, strict=True)):
        raise record.wrong("scores", "a list of numbers from 0 to 1, or null where nothing was decided")
    return scores


def _sample(record: Record, number: int, value: object, score: float | None) -> Sample:
    name = f"candidates[{number}]"
    if isinstance(value, str):
        return Sample(value, score)
    if not isinstance(value, dict):
        raise record.wrong("candidates", "a list of texts, or of objects with a text")
    fields = record.within(cast(dict[str, Any], value), name)
    if not isinstance(fields.value("text"), str):
        raise fields.wrong("text", "a text")
    token_ids, logprobs = _token_ids(fields), _logprobs(fields)
    if token_ids is not None and logprobs is not None and len(token_ids) != len(logprobs):
        raise BadLine(f"has {len(logprobs)} logprobs for the {len(token_ids)} token_ids of {name}; give each token one")
    finished = fields.flag("finished") if fields.has("finished") else True
    return Sample(_text(fields), score, finished, token_ids, logprobs)


def _text(candidate: Record) -> str:
    calls = candidate.objects("tool_calls") if candidate.fields.get("tool_calls") else []
    return completion_text([{"content": candidate.value("text"), "tool_calls": [call.fields for call in calls]}])


def _token_ids(fields: Record) -> tuple[int, ...] | None:
    if not fields.has("token_ids"):
        return None
    values = fields.items("token_ids")
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values):
        raise fields.wrong("token_ids", "a list of token ids")
    return tuple(values)


def _logprobs(fields: Record) -> tuple[float, ...] | None:
    if not fields.has("logprobs"):
        return None
    values = fields.items("logprobs")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise fields.wrong("logprobs", "a list of finite numbers, in nats")
    return tuple(map(float, values))


FORMAT = Rollouts()
