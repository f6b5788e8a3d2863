"""Functions as rows of operations, and what they may be taken for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from deliberate.training.tasks._division import division
from deliberate.training.tasks._protocol import Split
from deliberate.training.tasks._python_operations import OPERATIONS, Constant, Operation


@dataclass(frozen=True, slots=True)
class Step:
    """An operation with its constant."""

    operation: Operation
    constant: Constant | None = None

    def written(self, text: str) -> str:
        """A text of the operation, with the constant in its place."""
        return text.replace("{k}", repr(self.constant))

    def mistaken(self) -> Iterator["Step"]:
        """What it may be taken for."""
        return (replace(self, operation=other) for other in _alike(self.operation))


@dataclass(frozen=True, slots=True)
class Composition:
    """A function: its operations, one after the other."""

    steps: tuple[Step, ...]

    @property
    def split(self) -> Split | None:
        """Where it belongs; None where operations and constants disagree."""
        constants = [step.constant for step in self.steps if step.constant is not None]
        return division(operations=[step.operation.name for step in self.steps], constants=constants)

    def __call__(self, value: Any) -> Any:
        for step in self.steps:
            value = step.operation.apply(value, step.constant)
        return value

    def source(self, name: str) -> str:
        """The function in Python."""
        *before, last = self.steps
        lines = [f"{step.operation.gives} = {step.written(step.operation.code)}" for step in before]
        lines.append(f"return {last.written(last.operation.code)}")
        return "\n    ".join([f"def {name}({self.steps[0].operation.takes}):", *lines])

    def mutants(self) -> Iterator["Composition"]:
        """The same but for one operation: another one like it, another constant, or none."""
        for index, step in enumerate(self.steps):
            around = self.steps[:index], self.steps[index + 1 :]
            for other in (*step.mistaken(), *_other_constants(step)):
                yield Composition((*around[0], other, *around[1]))
            if step.operation.takes == step.operation.gives and len(self.steps) > 1:
                yield Composition((*around[0], *around[1]))

    def misreadings(self, vague: Sequence[bool]) -> Iterator["Composition"]:
        """The same with another reading of one order that is vague."""
        for index, step in enumerate(self.steps):
            for other in step.mistaken() if vague[index] else ():
                yield Composition((*self.steps[:index], other, *self.steps[index + 1 :]))


def _other_constants(step: Step) -> Iterator[Step]:
    constants = step.operation.constants
    if step.constant is not None:
        place = constants.index(step.constant)
        yield from (Step(step.operation, constants[i]) for i in (place - 1, place + 1) if 0 <= i < len(constants))


@cache
def _alike(operation: Operation) -> tuple[Operation, ...]:
    """The others of its family that have a constant where it has one."""
    family = [other for other in OPERATIONS if other.family and other.family == operation.family]
    return tuple(o for o in family if o != operation and bool(o.constants) == bool(operation.constants))
