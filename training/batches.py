"""Batches for fine-tuning: examples streamed from a source, grouped by length, with a loss on the completion only.

The stream is cut into windows of `WINDOW` batches. A window is generated from its own seed, sorted by length, cut
into batches and shuffled, so that any step of a run can be reached without replaying the ones before it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from deliberate.training.datasets.mixing import Mixture
from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.tasks import Problem, Task

WINDOW = 32
IGNORED = -100
"""The label that cross entropy skips."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded examples. Under causal attention the padding changes nothing before it, so no mask is needed."""

    input_ids: Tensor
    """(examples, tokens) int64"""
    labels: Tensor
    """(examples, tokens) int64: the id that follows each position, `IGNORED` outside the completion."""
    tokens: int
    """Prompt and completion tokens, without padding."""

    @property
    def content(self) -> bytes:
        """All of it, for a hash."""
        return self.input_ids.numpy().tobytes() + self.labels.numpy().tobytes()


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


class ExampleSource(Protocol):
    """Where examples come from."""

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Example]:
        """The examples of a window; `rng` is the window's own."""
        ...


@dataclass(frozen=True, slots=True)
class TaskExamples:
    """Fresh problems of a task's train split, none of them twice."""

    task: Task
    tokenizer: ChatTokenizer
    difficulty: tuple[int, ...] | None = None
    system_prompt_share: float = 0.0
    """Of the examples that open with one of the task's system prompts."""

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Example]:
        problems = self.task.problems("train", rng.getrandbits(64), count, self.difficulty)
        return [self._example(problem, rng) for problem in problems]

    def _example(self, problem: Problem, rng: random.Random) -> Example:
        addressed = rng.random() < self.system_prompt_share
        prompts = self.task.system_prompts
        system = ({"role": "system", "content": rng.choice(prompts)},) if addressed and prompts else ()
        prompt = self.tokenizer.conversation((*system, *problem.messages), problem.tools)
        return Example(prompt, _completion(self.tokenizer, problem.solution, problem.id))


@dataclass(frozen=True, slots=True)
class RowExamples:
    """Rows of datasets, by their weights, epoch after epoch."""

    rows: Mixture[ProblemRow]
    tokenizer: ChatTokenizer
    max_length: int | None = None
    """Examples are cut off after so many tokens."""

    def window(self, index: int, count: int, rng: random.Random) -> Sequence[Example]:
        rows = self.rows.from_position(index * count)
        return [self._example(next(rows)) for _ in range(count)]

    def _example(self, row: ProblemRow) -> Example:
        prompt = self.tokenizer.conversation(row.prompt, row.tools)
        room = None if self.max_length is None else max(1, self.max_length - len(prompt))
        return Example(prompt, _completion(self.tokenizer, row.solution, row.place)[:room])


def _completion(tokenizer: ChatTokenizer, solution: str | None, place: str) -> list[int]:
    if solution is None:
        raise BadData(f"{place} has no solution to learn; give it one, or take other data.")
    return [*tokenizer.encode(solution), tokenizer.end_id]


class BatchStream:
    """The batches of a run, in order, from any step."""

    def __init__(self, source: ExampleSource, pad_id: int, *, seed: int, batch_size: int) -> None:
        self._source = source
        self._pad_id = pad_id
        self._seed = seed
        self._batch_size = batch_size

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches `step`, `step + 1`, … without end."""
        window, skip = divmod(step, WINDOW)
        while True:
            yield from self._window(window)[skip:]
            window, skip = window + 1, 0

    def _window(self, index: int) -> list[Batch]:
        rng = random.Random(f"window:{self._seed}:{index}")
        examples = sorted(self._source.window(index, WINDOW * self._batch_size, rng), key=len)
        batches = [examples[i : i + self._batch_size] for i in range(0, len(examples), self._batch_size)]
        rng.shuffle(batches)
        return [self._collate(batch) for batch in batches]

    def _collate(self, examples: list[Example]) -> Batch:
        width = max(map(len, examples))
        ids = torch.full((len(examples), width), self._pad_id)
        labels = torch.full((len(examples), width), IGNORED)
        for row, example in enumerate(examples):
            ids[row, : len(example)] = torch.tensor(example.prompt + example.completion)
            labels[row, len(example.prompt) - 1 : len(example) - 1] = torch.tensor(example.completion)
        return Batch(ids, labels, sum(map(len, examples)))
