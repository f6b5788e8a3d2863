"""Python functions from composed specifications, with tests: one to five small operations, told in English.

A solution plans one line per operation, and writes one statement for each. Some orders are vague ("put the numbers in
order"): the examples in the question tell which operation is meant, and so do the tests that strategies may ask
(`@code`). Other tests grade. They discriminate: a function that differs from the right one in a single operation, or
leaves one out, fails at least one of them; and one that takes a vague order otherwise fails an example.

The splits are disjoint by construction, as in `word_problems`: by a hash of the sequence of operations, and by a hash
of the constants.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from deliberate.training.tasks._division import digest
from deliberate.training.tasks._protocol import Problem, Split, stream, user
from deliberate.training.tasks._python_composition import Composition, Step
from deliberate.training.tasks._python_operations import (
    OPERATIONS,
    SYSTEM_PROMPTS,
    VAGUE,
    WORDS,
    Kind,
    Operation,
)

DIFFICULTIES = range(1, 6)
GIVEN = 3
"""Tests that the question shows."""
HIDDEN = 8
"""Tests that only grade."""
_PROBES = 5
"""Inputs of other values, on which candidates may be compared with each other."""
_VAGUE_SHARE = 0.5
"""Of the orders that can be vague."""
_TRIES = 4
"""Draws of inputs before a function is given up: some compositions cannot be told from simpler ones."""
_LARGEST = 9_999
_LONGEST = 32
"""Characters of a value that a question shows."""
_STARTS: tuple[Kind, ...] = ("xs", "xs", "xs", "s", "words", "n")
_NAMES = ("f", "f", "g", "solve", "work", "run")
_HEADS = (
    "Write a Python function {call}: {steps}.",
    "Write {call} in Python. {Steps}.",
    "Define {call}: {steps}.",
    "{call} should {steps}.",
    'def {call}:\n    """{Steps}."""',
)
_JOINS = (", then ", "; then ", "; ", ", ")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a function is tried on."""

    given: tuple[Any, ...]
    hidden: tuple[Any, ...]
    probes: tuple[Any, ...]


def _composition(rng: random.Random, steps: int) -> Composition:
    kind, chosen = rng.choice(_STARTS), list[Step]()
    while len(chosen) < steps:
        operation = rng.choice(_taking(kind))
        if chosen and operation == chosen[-1].operation:
            continue
        chosen.append(Step(operation, rng.choice(operation.constants) if operation.constants else None))
        kind = operation.gives
    return Composition(tuple(chosen))


@cache
def _taking(kind: Kind) -> tuple[Operation, ...]:
    return tuple(operation for operation in OPERATIONS if operation.takes == kind)


def _value(rng: random.Random, kind: Kind, largest: int) -> Any:
    """An input of at most so many items."""
    match kind:
        case "n":
            return rng.randint(-20, 99)
        case "xs":
            values = [rng.randint(0, 9) if rng.random() < 0.75 else rng.randint(-9, 20) for _ in range(largest)]
            # Functions must not lean on what lists happen to be: some have equal numbers.
            return values[: rng.randint(0, largest)] + values[: rng.randint(0, 1)]
        case "words":
            return [rng.choice(WORDS) for _ in range(rng.randint(1, largest))]
        case "s":
            return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, max(1, largest // 2))))


def _inputs(rng: random.Random, function: Composition, vague: Sequence[bool]) -> Inputs | None:
    """Those that tell the function from all that are like it; None where such are hard to find."""
    kind = function.steps[0].operation.takes
    for _ in range(_TRIES):
        drawn = _distinct(rng, kind, (4,) * GIVEN + (7,) * HIDDEN + (5,) * _PROBES)
        given, hidden, probes = drawn[:GIVEN], drawn[GIVEN:-_PROBES], drawn[-_PROBES:]
        if _are_fit(function, vague, given, hidden):
            return Inputs(given, hidden, probes)
    return None


def _distinct(rng: random.Random, kind: Kind, sizes: Sequence[int]) -> tuple[Any, ...]:
    """One value of each of the sizes."""
    found = dict[str, Any]()
    while len(found) < len(sizes):
        value = _value(rng, kind, sizes[len(found)])
        found.setdefault(repr(value), value)
    return tuple(found.values())


def _are_fit(function: Composition, vague: Sequence[bool], given: Sequence[Any], hidden: Sequence[Any]) -> bool:
    """Whether values are small, and tests tell the function from others that it may be taken for."""
    shown, expected = list(map(function, given)), list(map(function, hidden))
    texts = list(map(repr, shown))
    return (
        len(set(texts)) >= GIVEN - 1
        and max(map(len, texts)) <= _LONGEST
        and all(map(_is_small, (*shown, *expected)))
        and all(_fails(other, given, shown) for other in function.misreadings(vague))
        and all(_fails(other, hidden, expected) for other in function.mutants())
    )


def _fails(other: Composition, inputs: Sequence[Any], expected: Sequence[Any]) -> bool:
    return any(other(value) != right for value, right in zip(inputs, expected, strict=True))


def _is_small(value: Any) -> bool:
    return all(
        abs(item) <= _LARGEST for item in (value if isinstance(value, list) else [value]) if isinstance(item, int)
    )


def _told(rng: random.Random, function: Composition, vague: Sequence[bool]) -> str:
    """The orders in a row."""
    orders = [
        step.written(VAGUE[step.operation.family] if unclear else rng.choice(step.operation.texts))
        for step, unclear in zip(function.steps, vague, strict=True)
    ]
    return rng.choice(_JOINS).join(orders)


def _question(rng: random.Random, function: Composition, vague: Sequence[bool], name: str, given: Sequence[Any]) -> str:
    steps = _told(rng, function, vague)
    call = f"{name}({function.steps[0].operation.takes})"
    order = rng.choice(_HEADS).format(call=call, steps=steps, Steps=steps[0].upper() + steps[1:])
    return "\n".join([order, *(f"{name}({value!r}) == {function(value)!r}" for value in given)])


def _solution(function: Composition, name: str) -> str:
    plan = [step.written(step.operation.plan) for step in function.steps]
    return "\n".join(["<think>", *plan, "</think>", "```python", function.source(name), "```"])


def _problem(rng: random.Random, split: Split, steps: int) -> Problem:
    while True:
        function = _composition(rng, steps)
        vague = [step.operation.family in VAGUE and rng.random() < _VAGUE_SHARE for step in function.steps]
        if function.split == split and (inputs := _inputs(rng, function, vague)) is not None:
            return _as_problem(rng, function, vague, inputs, split)


def _as_problem(
    rng: random.Random, function: Composition, vague: Sequence[bool], inputs: Inputs, split: Split
) -> Problem:
    name = rng.choice(_NAMES)
    question = _question(rng, function, vague, name, inputs.given)
    code = {"kind": "code", "language": "python", "entry_point": name, "timeout_s": 2.0}
    given, hidden = (
        [{"input": [v], "expected": function(v)} for v in values] for values in (inputs.given, inputs.hidden)
    )
    return Problem(
        id=f"python_functions-{digest(question)}",
        messages=user(question),
        verifier=code | {"tests": [*given, *hidden], "credit": "all"},
        hints={
            "code": code | {"tests": given},
            "agreement": code | {"inputs": [[value] for value in (*inputs.given, *inputs.probes)]},
        },
        solution=_solution(function, name),
        difficulty=len(function.steps),
        split=split,
    )


class PythonFunctions:
    """Functions of one argument, composed of 1 to 5 operations on integers, lists and texts."""

    name = "python_functions"
    difficulties = DIFFICULTIES
    system_prompts = SYSTEM_PROMPTS

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        return stream(self, _problem, split, seed, limit, difficulty, "steps")


TASK = PythonFunctions()
