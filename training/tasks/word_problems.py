"""Chained word problems: a count that several small events change, one exact integer operation each.

The two splits are disjoint by construction. A hash of the sequence of step templates sends that sequence to train
or to held-out, and a hash of the tuple of numbers does the same for the numbers. A train problem has both in
train, a test problem has both held out; the mixed ones belong to neither.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import get_args

from deliberate.training.tasks._protocol import Problem, Split, stream, user
from deliberate.training.tasks._steps import CheckedSteps
from deliberate.training.tasks._word_problem_steps import corrupted, step_labels
from deliberate.training.tasks._word_problem_text import (
    MEN,
    OBJECTS,
    OPENINGS,
    QUESTIONS,
    STEPS,
    SYSTEM_PROMPTS,
    WOMEN,
    Operation,
)

DIFFICULTIES = range(2, 8)
LARGEST = 500
"""No value on the way is greater."""
_HELD_OUT_SHARE = 4
"""One in this many template sequences, and one in this many number tuples, is held out."""
_TWO_DIGIT = 0.75
"""Chance of a two-digit operand in sums and differences; factors have one digit, so about half of all have two."""
_WEIGHTS: dict[Operation, int] = {"+": 3, "-": 3, "*": 2, "/": 2}
_APPLY: dict[Operation, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
}
_BY_OPERATION = {
    operation: tuple(index for index, step in enumerate(STEPS) if step.operation == operation)
    for operation in get_args(Operation)
}


@dataclass(frozen=True, slots=True)
class Chain:
    """The bones of a problem: which templates, on which numbers."""

    templates: tuple[int, ...]
    """Indices into `STEPS`."""
    numbers: tuple[int, ...]
    """The start and then one operand per step."""

    def lines(self) -> list[str]:
        """The worked steps, such as `17 * 2 = 34`."""
        value, lines = self.numbers[0], list[str]()
        for index, operand in zip(self.templates, self.numbers[1:], strict=True):
            operation = STEPS[index].operation
            result = _APPLY[operation](value, operand)
            lines.append(f"{value} {operation} {operand} = {result}")
            value = result
        return lines


def split_of(templates: Sequence[int], numbers: Sequence[int]) -> Split | None:
    """Where a chain belongs by its hashes; None where the two disagree."""
    held_out = _is_held_out("templates", templates), _is_held_out("numbers", numbers)
    return {(True, True): "test", (False, False): "train"}.get(held_out)  # type: ignore[return-value]


def _is_held_out(kind: str, values: Sequence[int]) -> bool:
    text = f"{kind}:{','.join(map(str, values))}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()[0] % _HELD_OUT_SHARE == 0


def _number(rng: random.Random, largest: int) -> int:
    """A positive integer up to `largest` and 99, mostly of two digits where they fit."""
    if largest >= 10 and rng.random() < _TWO_DIGIT:
        return rng.randint(10, min(largest, 99))
    return rng.randint(min(2, largest), min(largest, 9))


def _operand(rng: random.Random, operation: Operation, value: int) -> int | None:
    """An operand that keeps the count a positive integer of at most `LARGEST`; None where there is none."""
    if operation == "+":
        return _number(rng, LARGEST - value) if value < LARGEST else None
    if operation == "-":
        return _number(rng, value - 1) if value > 1 else None
    if operation == "*":
        factors = [factor for factor in range(2, 10) if value * factor <= LARGEST]
    else:
        factors = [factor for factor in range(2, 10) if value % factor == 0]
    return rng.choice(factors) if factors else None


def _chain(rng: random.Random, steps: int) -> Chain:
    value = _number(rng, 99)
    templates, numbers = list[int](), [value]
    while len(templates) < steps:
        operation = rng.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        operand = _operand(rng, operation, value)
        if operand is None:
            continue
        fitting = [i for i in _BY_OPERATION[operation] if STEPS[i].operand in (None, operand)]
        templates.append(rng.choice(fitting))
        numbers.append(operand)
        value = _APPLY[operation](value, operand)
    return Chain(tuple(templates), tuple(numbers))


def words(name: str, objects: str) -> dict[str, str]:
    """What stands in the slots of a text about that person."""
    she, her, him = ("she", "her", "her") if name in WOMEN else ("he", "his", "him")
    return {"name": name, "o": objects, "she": she, "She": she.capitalize(), "her": him, "Her": her.capitalize()}


def _question(rng: random.Random, chain: Chain) -> str:
    name = rng.choice(rng.choice((WOMEN, MEN)))
    friends = [friend for friend in WOMEN + MEN if friend != name]
    slots = words(name, rng.choice(OBJECTS))
    sentences = [rng.choice(OPENINGS).format(n=chain.numbers[0], **slots)]
    sentences += [
        STEPS[index].text.format(n=operand, f=rng.choice(friends), **slots)
        for index, operand in zip(chain.templates, chain.numbers[1:], strict=True)
    ]
    sentences.append(rng.choice(QUESTIONS).format(**slots))
    return " ".join(sentences)


def _problem(rng: random.Random, split: Split, steps: int) -> Problem:
    chain = next(c for c in (_chain(rng, steps) for _ in count()) if split_of(c.templates, c.numbers) == split)
    return as_problem(chain, _question(rng, chain), split)


def as_problem(chain: Chain, question: str, split: Split) -> Problem:
    """A chain, and the text that tells of it."""
    lines = chain.lines()
    answer = lines[-1].rpartition(" ")[2]
    return Problem(
        id=f"word_problems-{hashlib.blake2b(question.encode(), digest_size=8).hexdigest()}",
        messages=user(question),
        verifier={"kind": "reference", "answer": answer},
        answer=answer,
        solution="\n".join(["<think>", *lines, "</think>", f"<answer>{answer}</answer>"]),
        difficulty=len(lines),
        split=split,
    )


class WordProblems:
    """Chained word problems of 2 to 7 steps on integers up to 500."""

    name = "word_problems"
    difficulties = DIFFICULTIES
    system_prompts = SYSTEM_PROMPTS

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        return stream(self, _problem, split, seed, limit, difficulty, "steps")

    def step_labels(self, problem: Problem, steps: Sequence[str]) -> tuple[bool, ...]:
        return step_labels(problem, steps)

    def corrupted(self, problem: Problem, rng: random.Random) -> CheckedSteps:
        return corrupted(problem, rng)


TASK = WordProblems()
