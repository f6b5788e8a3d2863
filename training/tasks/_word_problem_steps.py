"""Exact labels for the steps of word problems, and solutions with one error.

A line `a op b = c` is right where it applies the next event of the story to the count before it, exactly; sums and
products may be turned round. `<think>`, `</think>` and the line with the answer are steps like the others, for that is
what they are to searches and verifiers: `</think>` is right once all events have been applied. After an error a line is
right where it comes to the right count again.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from deliberate.training.tasks._protocol import Problem
from deliberate.training.tasks._steps import CheckedSteps

_LINE = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
_OPEN, _CLOSE, _ANSWER = "<think>", "</think>", "<answer>{}</answer>"
_LARGEST_SLIP = 10


@dataclass(frozen=True, slots=True)
class _Line:
    """`before operation operand = after`."""

    before: int
    operation: str
    operand: int
    after: int

    def __str__(self) -> str:
        return f"{self.before} {self.operation} {self.operand} = {self.after}"

    def follows(self, expected: "_Line") -> bool:
        """Whether it says the same."""
        turned = _Line(self.operand, self.operation, self.before, self.after)
        return self == expected or (self.operation in "+*" and turned == expected)


def step_labels(problem: Problem, steps: Sequence[str]) -> tuple[bool, ...]:
    """For each step whether it is right; after the first error a line is where it comes to what it should."""
    expected = [_OPEN, *_reference(problem), _CLOSE, _ANSWER.format(problem.answer)]
    labels = list[bool]()
    for place, step in enumerate(steps):
        if place >= len(expected):
            labels.append(False)
        elif all(labels):
            labels.append(_is(step.strip(), expected[place]))
        else:
            labels.append(_comes_to(step.strip(), expected[place], labels[-1]))
    return tuple(labels)


def corrupted(problem: Problem, rng: random.Random) -> CheckedSteps:
    """The reference solution with one error, from which it goes on as if nothing had happened.

    So policies err: they slip in a result, an operand, an operation, a count, and leave out or repeat an event.
    """
    lines = _reference(problem)
    for _ in count():
        kind = rng.choice(_KINDS)
        wrong = _written(list(kind(lines, rng.randrange(len(lines)), rng)))
        labels = step_labels(problem, wrong)
        if False in labels:
            return CheckedSteps(wrong, labels)
    raise AssertionError


def _is(step: str, expected: "str | _Line") -> bool:
    if isinstance(expected, str):
        return step == expected
    line = _parsed(step)
    return line is not None and line.follows(expected)


def _comes_to(step: str, expected: "str | _Line", after_right: bool) -> bool:
    """Whether it says what is true; of a mark, which says nothing itself, whether the step before it did."""
    if isinstance(expected, str):
        return step == expected and (after_right or expected != _CLOSE)
    line = _parsed(step)
    return line is not None and line.after == expected.after


def _parsed(step: str) -> _Line | None:
    match = _LINE.fullmatch(step)
    return None if match is None else _Line(int(match[1]), match[2], int(match[3]), int(match[4]))


def _reference(problem: Problem) -> list[_Line]:
    lines = [_parsed(step) for step in (problem.solution or "").split("\n")]
    return [line for line in lines if line is not None]


def _written(lines: list[_Line]) -> tuple[str, ...]:
    """The steps of a solution with these lines; what no line computes is answered by the first count."""
    return (_OPEN, *map(str, lines), _CLOSE, _ANSWER.format(lines[-1].after))


def _applied(before: int, operation: str, operand: int) -> int:
    """The result; of a division that leaves a rest, without it, and of a difference below nothing, nothing."""
    match operation:
        case "+":
            return before + operand
        case "-":
            return max(0, before - operand)
        case "*":
            return before * operand
        case _:
            return before // max(1, operand)


def _continued(value: int, rest: Sequence[_Line]) -> Iterator[_Line]:
    """The events of the rest, applied to another count."""
    for line in rest:
        after = _applied(value, line.operation, line.operand)
        yield _Line(value, line.operation, line.operand, after)
        value = after


def _slip(value: int, rng: random.Random) -> int:
    """Another number: near, or with one other digit."""
    if rng.random() < 0.5:
        return max(0, value + rng.choice([-1, 1]) * rng.randint(1, _LARGEST_SLIP))
    digits = list(str(value))
    digits[rng.randrange(len(digits))] = str(rng.randint(0, 9))
    return int("".join(digits))


def _from(lines: Sequence[_Line], place: int, wrong: _Line) -> Iterator[_Line]:
    """All that was before, the wrong line, and what would follow from it."""
    yield from lines[:place]
    yield wrong
    yield from _continued(wrong.after, lines[place + 1 :])


def _wrong_result(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    line = lines[place]
    return _from(lines, place, _Line(line.before, line.operation, line.operand, _slip(line.after, rng)))


def _recovered(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    """A wrong result is written, but the next line computes with the right one: small policies do so."""
    line = lines[place]
    wrong = _slip(line.after, rng)
    yield from lines[:place]
    yield replace(line, after=wrong)
    yield from (replace(following, before=wrong) for following in lines[place + 1 : place + 2])
    yield from lines[place + 2 :]


def _wrong_operand(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    """A misread number, or one of another event."""
    line = lines[place]
    operand = rng.choice([_slip(line.operand, rng), rng.choice(lines).operand]) or 1
    after = _applied(line.before, line.operation, operand)
    return _from(lines, place, _Line(line.before, line.operation, operand, after))


def _wrong_operation(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    line, operation = lines[place], rng.choice("+-*/")
    after = _applied(line.before, operation, line.operand)
    return _from(lines, place, _Line(line.before, operation, line.operand, after))


def _wrong_count(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    """The count before is not carried over as it was: another number, or the count before the last event."""
    line = lines[place]
    before = rng.choice([_slip(line.before, rng), lines[max(0, place - 1)].before])
    after = _applied(before, line.operation, line.operand)
    return _from(lines, place, _Line(before, line.operation, line.operand, after))


def _left_out(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    """An event is forgotten, unless it is the only one."""
    yield from lines[:place]
    yield from _continued(lines[place].before, lines[place + 1 :]) if len(lines) > 1 else lines


def _repeated(lines: Sequence[_Line], place: int, rng: random.Random) -> Iterator[_Line]:
    """An event is applied twice."""
    yield from lines[: place + 1]
    yield from _continued(lines[place].after, lines[place:])


_Kind = Callable[[Sequence[_Line], int, random.Random], Iterator[_Line]]
_KINDS: tuple[_Kind, ...] = (
    _wrong_result,
    _recovered,
    _wrong_operand,
    _wrong_operation,
    _wrong_count,
    _left_out,
    _repeated,
)
