"""The English of the word problems: step templates, openings, questions, people and things.

A template's place in `STEPS` is its identity in the train / held-out division (see `word_problems`), so append
new ones at the end of the table; an insertion would move problems from one split to the other.

Slots: `{n}` the operand, `{o}` the objects, `{f}` a friend, `{she}` / `{She}` / `{her}` / `{Her}` pronouns.
"""

from dataclasses import dataclass
from typing import Literal

Operation = Literal["+", "-", "*", "/"]


@dataclass(frozen=True, slots=True)
class Step:
    """One phrasing of one operation on the running count."""

    operation: Operation
    text: str
    operand: int | None = None
    """The operand that the words themselves name ("doubles"); None where the text has a `{n}`."""


STEPS: tuple[Step, ...] = (
    Step("+", "{She} buys {n} more."),
    Step("+", "{She} finds {n} {o}."),
    Step("+", "{f} gives {her} {n}."),
    Step("+", "{She} wins {n} in a game."),
    Step("+", "Another {n} arrive by mail."),
    Step("+", "{She} picks up {n} more."),
    Step("+", "{Her} uncle brings {n} {o}."),
    Step("+", "A bag with {n} more turns up."),
    Step("+", "{She} borrows {n} from {f}."),
    Step("+", "{She} makes {n} new ones."),
    Step("-", "{She} loses {n}."),
    Step("-", "{She} gives {n} to {f}."),
    Step("-", "Then {n} of them break."),
    Step("-", "{f} takes {n} away."),
    Step("-", "{She} sells {n} {o}."),
    Step("-", "{She} throws away {n}."),
    Step("-", "{She} leaves {n} on the bus."),
    Step("-", "Thieves steal {n} {o}."),
    Step("-", "{She} donates {n} to a school."),
    Step("-", "{She} uses up {n}."),
    Step("*", "{She} doubles what {she} has.", 2),
    Step("*", "The pile triples.", 3),
    Step("*", "Soon {she} has {n} times as many."),
    Step("*", "A trader swaps each one for {n} {o}."),
    Step("*", "The pile grows to {n} times its size."),
    Step("*", "{She} cuts each one into {n} pieces."),
    Step("*", "{f} turns every one into {n}."),
    Step("*", "Four copies replace each one.", 4),
    Step("/", "{She} gives away half.", 2),
    Step("/", "{She} keeps only a third.", 3),
    Step("/", "Just a quarter remain.", 4),
    Step("/", "{She} makes {n} equal piles and keeps one."),
    Step("/", "{She} shares them equally among {n} people and holds one share."),
    Step("/", "{She} packs them in boxes of {n} and counts boxes."),
    Step("/", "{She} trades every {n} for one."),
    Step("/", "Only one in {n} is good, and {she} keeps those."),
)

OPENINGS = (
    "{name} has {n} {o}.",
    "{name} starts with {n} {o}.",
    "{name} owns {n} {o}.",
    "{name} collects {n} {o}.",
)

QUESTIONS = (
    "How many does {she} have now?",
    "How many are there now?",
    "How many are left?",
    "How many {o} does {she} have?",
)

WOMEN = ("Ana", "Beth", "Clara", "Dina", "Emma", "Grace", "Ivy", "Lena", "Mia", "Nora")
MEN = ("Adam", "Ben", "Carl", "David", "Eric", "Hugo", "Jack", "Leo", "Omar", "Paul")

OBJECTS = (
    "apples",
    "balls",
    "beads",
    "books",
    "buttons",
    "cards",
    "coins",
    "cookies",
    "eggs",
    "flowers",
    "keys",
    "lemons",
    "marbles",
    "nuts",
    "pens",
    "plums",
    "shells",
    "stamps",
    "stickers",
    "toys",
)

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant that solves math problems.",
    "Solve the problem step by step.",
    "Think step by step, then answer.",
    "You are a careful math tutor.",
    "Reason in <think> tags and answer in <answer> tags.",
)
