"""The `reference` verifier: is the final answer equal to a given one?"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StringConstraints

from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.equality_job import Unreadable, equal
from deliberate.verifiers.equivalence import answer_key, is_expression, quantity
from deliberate.verifiers.plain_math import plain
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.workers import WorkerLost, WorkerPool

MAX_CHARACTERS = 400
MAX_NESTING = 30
MAX_EXPONENT_DIGITS = 3
MAX_FACTORIAL_DIGITS = 3

_TOWER = re.compile(r"(?:\^|\*\*)[\s({]*-?\d+[\s)}]*(?:\^|\*\*)")
_LONG_EXPONENT = re.compile(rf"(?:\^|\*\*)\s*[{{(]*\s*-?\d{{{MAX_EXPONENT_DIGITS + 1},}}|\d[eE][+-]?\d{{4,}}")
_LONG_FACTORIAL = re.compile(rf"\d{{{MAX_FACTORIAL_DIGITS + 1},}}\s*!|!\s*[)}}]*\s*!|\)\s*!")


class Reference(VerifierConfig, frozen=True):
    """The final answer equals the given one.

    Numbers are compared exactly, with their units: a unit that only one side states is not held against the other, a
    percent sign is. Documents and words are compared by their canonical spelling. Other mathematics goes to math-verify
    in a process that is killed at the time limit: what it cannot decide in time is `timeout`, what is too big to ask
    or cannot be read is `unavailable`. A reply without an answer is rejected.
    """

    kind: Literal["reference"] = "reference"
    answer: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    """The right answer: a number, an expression (LaTeX or plain), a word, a JSON document. Not a whole solution."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=30)] = 2.0
    """Seconds for one comparison by math-verify."""

    def build(self, resources: Resources) -> "ReferenceVerifier":
        return ReferenceVerifier(self, resources.workers)


@dataclass(frozen=True, slots=True)
class ReferenceVerifier:
    config: Reference
    workers: WorkerPool

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        answers = await asyncio.to_thread(lambda: [final_answer(candidate.text) for candidate in candidates])
        keys = [None if answer is None else answer_key(answer) for answer in answers]
        pairs = zip(reversed(keys), reversed(answers), strict=True)  # The first of equal answers speaks for them.
        distinct = {key: answer for key, answer in pairs if answer is not None}
        verdicts = await asyncio.gather(*(self._judge(answer) for answer in distinct.values()))
        by_key: dict[str | None, Verdict] = {None: Verdict.decided(False, "no final answer found")}
        by_key |= dict(zip(distinct, verdicts, strict=True))
        return [by_key[key] for key in keys]

    async def _judge(self, answer: str) -> Verdict:
        equal_by_key = _decide(self.config.answer, answer)
        if equal_by_key is not None:
            return _verdict(equal_by_key, answer)
        obstacle = _obstacle(self.config.answer) or _obstacle(answer)
        if obstacle is not None:
            return Verdict.undecided(f"not compared: {obstacle}")
        return await self._ask(answer)

    async def _ask(self, answer: str) -> Verdict:
        limit = self.config.timeout_s
        try:
            return _verdict(await self.workers.run(limit, equal, self.config.answer, answer), answer)
        except TimeoutError:
            return Verdict.undecided(f"the comparison took more than {limit:g} s", "timeout")
        except (Unreadable, WorkerLost, MemoryError, RecursionError) as error:
            return Verdict.undecided(f"not compared: {error or type(error).__name__}")


def _verdict(passed: bool, answer: str) -> Verdict:
    shown = answer if len(answer) <= 80 else answer[:80] + "…"
    return Verdict.decided(passed, f"{shown!r} is {'equal' if passed else 'not equal'} to the reference")


def _decide(reference: str, answer: str) -> bool | None:
    """Equality by canonical keys; None where only algebra can tell."""
    if answer_key(reference) == answer_key(answer):
        return True
    expected, given = quantity(reference), quantity(answer)
    if expected is not None and given is not None:
        units = {expected.unit, given.unit}
        comparable = len(units) == 1 or ("" in units and "%" not in units)
        return comparable and expected.value == given.value
    return None if is_expression(reference) and is_expression(answer) else False


def _obstacle(text: str) -> str | None:
    """Why an expression is too big for a symbolic comparison."""
    text = plain(text[: MAX_CHARACTERS + 1])
    if len(text) > MAX_CHARACTERS:
        return f"an answer is longer than {MAX_CHARACTERS} characters"
    if max(text.count(opening) for opening in "([{") > MAX_NESTING:
        return f"an answer has more than {MAX_NESTING} brackets"
    if _TOWER.search(text) or _LONG_EXPONENT.search(text):
        return "an answer has a tower of powers or a huge exponent"
    if _LONG_FACTORIAL.search(text):
        return "an answer has a huge factorial"
    return None
