"""Training batches: fresh problems streamed from a task, grouped by length, with a loss on the completion only.

The stream is cut into windows of `WINDOW` batches. A window is generated from its own seed, sorted by length, cut
into batches and shuffled, so that any step of a run can be reached without replaying the ones before it.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deliberate.training.hub import ChatTokenizer
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

    def digest(self, previous: str) -> str:
        """Chain this batch onto the hash of all the data before it."""
        content = previous.encode() + self.input_ids.numpy().tobytes() + self.labels.numpy().tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Example:
    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


class BatchStream:
    """The batches of a run, in order, from any step."""

    def __init__(
        self,
        task: Task,
        tokenizer: ChatTokenizer,
        *,
        seed: int,
        batch_size: int,
        difficulty: tuple[int, ...] | None = None,
        system_prompt_share: float = 0.0,
    ) -> None:
        """`system_prompt_share` of the examples open with one of the task's system prompts."""
        self._task = task
        self._tokenizer = tokenizer
        self._seed = seed
        self._batch_size = batch_size
        self._difficulty = difficulty
        self._system_prompt_share = system_prompt_share

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches `step`, `step + 1`, … without end."""
        window, skip = divmod(step, WINDOW)
        while True:
            yield from self._window(window)[skip:]
            window, skip = window + 1, 0

    def _window(self, index: int) -> list[Batch]:
        rng = random.Random(f"window:{self._seed}:{index}")
        problems = self._task.problems("train", rng.getrandbits(64), WINDOW * self._batch_size, self._difficulty)
        examples = sorted((self._example(problem, rng) for problem in problems), key=len)
        batches = [examples[i : i + self._batch_size] for i in range(0, len(examples), self._batch_size)]
        rng.shuffle(batches)
        return [self._collate(batch) for batch in batches]

    def _example(self, problem: Problem, rng: random.Random) -> _Example:
        addressed = rng.random() < self._system_prompt_share
        prompts = self._task.system_prompts
        system = rng.choice(prompts) if addressed and prompts else None
        prompt = self._tokenizer.prompt(problem.question, system)
        return _Example(prompt, [*self._tokenizer.encode(problem.solution), self._tokenizer.end_id])

    def _collate(self, examples: list[_Example]) -> Batch:
        width = max(map(len, examples))
        ids = torch.full((len(examples), width), self._tokenizer.pad_id)
        labels = torch.full((len(examples), width), IGNORED)
        for row, example in enumerate(examples):
            ids[row, : len(example)] = torch.tensor(example.prompt + example.completion)
            labels[row, len(example.prompt) - 1 : len(example) - 1] = torch.tensor(example.completion)
        return Batch(ids, labels, sum(map(len, examples)))
