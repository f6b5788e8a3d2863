"""Goal-directed augmentation of word problems: another start, another goal, or the goal that was reached.

A problem is a path from a start (the first count) through events to a goal (the count that is asked for). Its path is
read back from its text, changed, and told again. As hindsight experience replay does (Andrychowicz et al. 2017,
arXiv:1707.01495), `relabel_goal` makes of a wrong solution the right one of another problem. What comes out lies on
the same side of the train / held-out division as what went in, or nothing does.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deliberate.training.tasks import Problem
from deliberate.training.tasks._word_problem_text import MEN, OPENINGS, STEPS, WOMEN, Operation
from deliberate.training.tasks.word_problems import DIFFICULTIES, LARGEST, Chain, as_problem, split_of, words

_SENTENCE_END = re.compile(r"(?<=[.?]) ")
_SLOT = re.compile(r"\\{(\w+)\\}")
_NUMBER = re.compile(r"\d+")
_LINE = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
_STARTS = range(1, 100)


def _pattern(template: str) -> re.Pattern[str]:
    """What finds a sentence made from the template, its number in `n`, name and objects too."""
    named = {"n": r"(?P<n>\d+)", "name": r"(?P<name>\w+)", "o": r"(?P<o>\w+)"}
    return re.compile(_SLOT.sub(lambda slot: named.get(slot[1], r"\w+"), re.escape(template)))


_OPENINGS = tuple(map(_pattern, OPENINGS))
_STEPS = tuple(_pattern(step.text) for step in STEPS)


@dataclass(frozen=True, slots=True)
class _Story:
    """A problem, taken apart."""

    chain: Chain
    opening: str
    events: tuple[str, ...]
    """A sentence for each step of the chain."""
    question: str

    def problem(self, like: Problem) -> Problem | None:
        """It is told again; None where it is no sound problem of the same split."""
        chain = self.chain
        if not _is_sound(chain) or split_of(chain.templates, chain.numbers) != like.split:
            return None
        return as_problem(chain, " ".join((self.opening, *self.events, self.question)), like.split)


def vary_start(problem: Problem, rng: random.Random) -> Problem | None:
    """The same events from another start; None where no other start leads through them."""
    story = _read(problem)
    _, *operands = story.chain.numbers
    found = list[Problem]()
    for start in _STARTS:
        chain = replace(story.chain, numbers=(start, *operands))
        varied = replace(story, chain=chain, opening=_NUMBER.sub(str(start), story.opening)).problem(problem)
        if varied is not None and varied.id != problem.id:
            found.append(varied)
    return rng.choice(found) if found else None


def vary_goal(problem: Problem, rng: random.Random) -> Problem | None:
    """The same start, and the question comes after fewer events; None where no shorter path is of the split."""
    story = _read(problem)
    found = [_cut(story, steps).problem(problem) for steps in DIFFICULTIES if steps < len(story.events)]
    shorter = [varied for varied in found if varied is not None]
    return rng.choice(shorter) if shorter else None


def relabel_goal(problem: Problem, completion: str, rng: random.Random) -> Problem | None:
    """The problem that the completion's steps solve.

    Events are kept where the completion follows them; where it took another number the event gets that, and where it
    did something else another event. None for steps that do not follow from each other, go where problems do not go,
    or end in a problem of the other split.
    """
    steps = _steps_taken(completion)
    if len(steps) not in DIFFICULTIES:
        return None
    story = _read(problem)
    slots = _slots(story.opening)
    told = [_event(story, place, operation, operand, slots, rng) for place, (_, operation, operand) in enumerate(steps)]
    start = steps[0][0]
    return _Story(
        Chain(tuple(template for template, _ in told), (start, *(operand for _, _, operand in steps))),
        _NUMBER.sub(str(start), story.opening),
        tuple(sentence for _, sentence in told),
        story.question,
    ).problem(problem)


def _read(problem: Problem) -> _Story:
    """Raises ValueError for a text that the task does not write."""
    opening, *rest = _SENTENCE_END.split(problem.question)
    start = _NUMBER.search(opening)
    if not rest or start is None or not any(pattern.fullmatch(opening) for pattern in _OPENINGS):
        raise ValueError(f"{problem.question!r} is no word problem: its start cannot be read")
    *events, question = rest
    told = [_template(sentence) for sentence in events]
    templates, operands = [template for template, _ in told], [operand for _, operand in told]
    return _Story(Chain(tuple(templates), (int(start[0]), *operands)), opening, tuple(events), question)


def _template(sentence: str) -> tuple[int, int]:
    """Its index among the templates, and its operand."""
    for index, pattern in enumerate(_STEPS):
        if (match := pattern.fullmatch(sentence)) is not None:
            named = STEPS[index].operand
            return index, int(match["n"]) if named is None else named
    raise ValueError(f"{sentence!r} is no event of a word problem")


def _slots(opening: str) -> dict[str, str]:
    match = next(match for pattern in _OPENINGS if (match := pattern.fullmatch(opening)) is not None)
    return words(match["name"], match["o"])


def _cut(story: _Story, steps: int) -> _Story:
    chain = Chain(story.chain.templates[:steps], story.chain.numbers[: steps + 1])
    return replace(story, chain=chain, events=story.events[:steps])


def _event(
    story: _Story, place: int, operation: str, operand: int, slots: dict[str, str], rng: random.Random
) -> tuple[int, str]:
    """A template for that operation and a sentence of it: the story's own where it fits."""
    if place < len(story.events):
        own = story.chain.templates[place]
        if STEPS[own].operation == operation and STEPS[own].operand in (None, operand):
            return own, _NUMBER.sub(str(operand), story.events[place])
    fitting = [i for i, step in enumerate(STEPS) if step.operation == operation and step.operand in (None, operand)]
    template = rng.choice(fitting)
    friend = rng.choice([name for name in WOMEN + MEN if name != slots["name"]])
    return template, STEPS[template].text.format(n=operand, f=friend, **slots)


def _steps_taken(completion: str) -> list[tuple[int, Operation, int]]:
    """Value, operation and operand of each step; none where a line is no step, or does not follow from the last."""
    taken, value = list[tuple[int, Operation, int]](), None
    for text in completion.partition("</think>")[0].replace("<think>", "").split("\n"):
        line = _LINE.fullmatch(text)
        if line is None and not text.strip():
            continue
        if line is None or value not in (None, int(line[1])):
            return []
        before, operation, operand = int(line[1]), _operation(line[2]), int(line[3])
        if _apply(before, operation, operand) != int(line[4]):
            return []
        taken.append((before, operation, operand))
        value = int(line[4])
    return taken


def _operation(sign: str) -> Operation:
    return next(step.operation for step in STEPS if step.operation == sign)


def _apply(value: int, operation: Operation, operand: int) -> int | None:
    """The result; None where it is no whole number."""
    match operation:
        case "+":
            return value + operand
        case "-":
            return value - operand
        case "*":
            return value * operand
        case "/":
            return value // operand if operand and value % operand == 0 else None


def _is_sound(chain: Chain) -> bool:
    """Whether all counts on the way are ones that problems have."""
    return all(0 < value <= LARGEST for value in chain.numbers) and _counts_are_sound(chain.numbers, chain.templates)


def _counts_are_sound(numbers: Sequence[int], templates: Sequence[int]) -> bool:
    value = numbers[0]
    for template, operand in zip(templates, numbers[1:], strict=True):
        result = _apply(value, STEPS[template].operation, operand)
        if result is None or not 0 < result <= LARGEST:
            return False
        value = result
    return True
